//! The rules planner.
