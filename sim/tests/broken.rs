//! A check that cannot fail is a defect: every broken variant must be found, on the seeds on
//! which the sound machine is clean.

use clap::ValueEnum;
use octollm_sim::{Broken, Names, run};

const SEED: u64 = 20_261_125;
const SCHEDULES: u64 = 200;

/// P1–P4, P7: nothing false is seen while faults rain, everything ends once they have stopped.
#[test]
fn the_sound_machine_is_clean() {
    let names = Names::default();
    for schedule in 0..SCHEDULES {
        let outcome = run(&names, SEED, schedule, None, None)
            .unwrap_or_else(|what| panic!("{what}\nrepeat: cargo xtask sim --seed {SEED} --only {schedule}"));
        assert!(outcome.events >= 60 && outcome.faults >= 3 && outcome.tasks >= 3, "{outcome:?}");
    }
}

#[test]
fn every_broken_variant_is_found() {
    let names = Names::default();
    for broken in Broken::value_variants() {
        let found =
            (0..SCHEDULES).find_map(|schedule| run(&names, SEED, schedule, Some(*broken), None).err());
        assert!(found.is_some(), "{broken:?} was not found within {SCHEDULES} schedules");
    }
}

#[test]
fn a_failing_schedule_repeats_exactly() {
    let names = Names::default();
    let broken = Some(Broken::Fencing);
    let failing = (0..SCHEDULES).find(|schedule| run(&names, SEED, *schedule, broken, None).is_err());
    let failing = failing.expect("the variant is found, as the test above shows");
    let traced = || {
        let mut lines = Vec::new();
        let found = run(&names, SEED, failing, broken, Some(&mut |line| lines.push(line)));
        (found, lines)
    };
    assert_eq!(traced(), traced());
}
