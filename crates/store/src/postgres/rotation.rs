//! Which replica may answer a read: pure functions of what each has said of itself and when.
//!
//! A replica *covers* what a client has seen when it has replayed at least that much. Positions are
//! compared on one timeline only:
//!
//! | the client has seen | the replica is on | it covers it |
//! |---|---|---|
//! | nothing | any timeline | yes |
//! | timeline t, position p | t | if it has replayed p |
//! | an earlier timeline, position p | t | if p lies before the beginning of t: then what survived of it is in t |
//! | a later timeline | t | no: it has not come to it |
//!
//! What cannot be compared is asked of the primary. A replica *serves* while it is known to be a standby,
//! on the primary's own timeline, and no more than [`LAG_MAX`] behind, both as it says itself and by what
//! the primary was heard to have written. What is known of it counts for [`KNOWN_FOR`]; after that it is
//! out until it is heard of again. So one that is dead, stands still, was promoted, or went another way
//! leaves within a second, and comes back by itself.
//!
//! Moments are the time since the store was opened.

use crate::Seen;
use std::time::Duration;

/// A replica that is further behind serves nobody.
pub(super) const LAG_MAX: Duration = Duration::from_secs(2);
/// What a replica said of itself counts for so long.
pub(super) const KNOWN_FOR: Duration = Duration::from_secs(1);

/// What a server said of itself, before anything was read from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Report {
    /// It follows another server.
    pub(super) is_standby: bool,
    /// A server that it follows sends to it.
    pub(super) is_fed: bool,
    /// How much came to it that way.
    pub(super) received: Option<u64>,
    /// How much of the log is in what it shows. `None`: it is no standby.
    pub(super) replayed: Option<u64>,
    /// How long ago what it replayed last was committed, if it has replayed anything.
    pub(super) last_change: Option<Duration>,
    /// Its timeline.
    pub(super) timeline: u32,
    /// A position at which that had begun.
    pub(super) began: u64,
}

impl Report {
    /// Whether it shows all of what has been seen, as far as that can be said.
    pub(super) fn covers(&self, seen: Seen) -> bool {
        match seen.timeline.cmp(&self.timeline) {
            _ if seen == Seen::NOTHING => true,
            std::cmp::Ordering::Equal => self.replayed.is_some_and(|replayed| replayed >= seen.position),
            std::cmp::Ordering::Less => seen.position <= self.began,
            std::cmp::Ordering::Greater => false,
        }
    }

    /// How far it is behind. Nothing, if all that it was sent is replayed and it is still being sent
    /// more: a primary that has nothing to send is no lag. Who is sent nothing may lack anything: then,
    /// and while something waits to be replayed, the age of its last change counts. `None`: it has none.
    pub(super) fn lag(&self) -> Option<Duration> {
        let caught_up = self.is_fed
            && self.received.zip(self.replayed).is_some_and(|(received, replayed)| received <= replayed);
        if caught_up { Some(Duration::ZERO) } else { self.last_change }
    }
}

/// Why a replica does not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Out {
    /// It does not answer, or answers something else.
    Gone,
    /// It has not been heard of lately.
    NotHeardOf,
    /// It is no standby any more.
    Promoted,
    /// Its timeline is not the primary's.
    ElsewhereInTime,
    /// It is more than [`LAG_MAX`] behind, or nobody knows how far.
    Behind,
}

/// What the log says of a replica: when it leaves, each cause once, and when it is back.
#[derive(Debug, Default)]
pub(super) struct Told {
    out: Option<Out>,
    /// What was said of it since it left.
    words: Vec<String>,
}

/// So many causes are told of one absence.
const WORDS_MAX: usize = 8;

/// What is to be told now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It does not serve, or for another reason than was told.
    IsOut(Out),
    /// It serves again.
    IsBack,
}

impl Told {
    /// It is `out`, or serves; `words`: what it, or the way to it, said last.
    pub(super) fn news(&mut self, out: Option<Out>, words: Option<&str>) -> Option<News> {
        let Some(out) = out else {
            let was_out = self.out.is_some();
            *self = Told::default();
            return was_out.then_some(News::IsBack);
        };
        let other = self.out.replace(out) != Some(out);
        let unheard = words.filter(|words| self.words.iter().all(|told| told != words));
        let unheard = unheard.filter(|_| self.words.len() < WORDS_MAX);
        self.words.extend(unheard.map(str::to_owned));
        (other || unheard.is_some()).then_some(News::IsOut(out))
    }
}

/// What is known of a replica.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ReplicaState {
    heard: Option<(Report, Duration)>,
    /// What the primary had written at that moment, and the replica has not been seen to show.
    owes: Option<(Seen, Duration)>,
}

impl ReplicaState {
    /// It was heard of, when the primary was known to have `written` so much.
    pub(super) fn hear(&mut self, report: Report, written: Seen, now: Duration) {
        self.heard = Some((report, now));
        self.owes = self.owes.filter(|(owed, _)| !report.covers(*owed));
        if self.owes.is_none() && !report.covers(written) {
            self.owes = Some((written, now));
        }
    }

    /// It does not answer.
    pub(super) fn lose(&mut self) {
        *self = ReplicaState::default();
    }

    /// What it said last, if that still counts.
    pub(super) fn known(&self, now: Duration) -> Result<&Report, Out> {
        let (report, at) = self.heard.as_ref().ok_or(Out::Gone)?;
        if now.saturating_sub(*at) > KNOWN_FOR { Err(Out::NotHeardOf) } else { Ok(report) }
    }

    /// Whether reads may go to it, of a primary that is known to have come to the timeline of `written`.
    pub(super) fn serves(&self, written: Seen, now: Duration) -> Result<&Report, Out> {
        let report = self.known(now)?;
        if !report.is_standby {
            return Err(Out::Promoted);
        }
        if report.timeline != written.timeline {
            return Err(Out::ElsewhereInTime);
        }
        let owes_for = self.owes.map_or(Duration::ZERO, |(_, since)| now.saturating_sub(since));
        match report.lag() {
            Some(lag) if lag.max(owes_for) <= LAG_MAX => Ok(report),
            Some(_) | None => Err(Out::Behind),
        }
    }
}

/// The replica for a read of a client that has `seen` so much: of those that serve and cover it, each in
/// its turn. `None`: the primary.
pub(super) fn choose<'a>(
    states: impl ExactSizeIterator<Item = &'a ReplicaState>,
    seen: Seen,
    written: Seen,
    now: Duration,
    turn: usize,
) -> Option<usize> {
    let count = states.len();
    let able = states
        .enumerate()
        .filter(|(_, state)| state.serves(written, now).is_ok_and(|report| report.covers(seen)));
    able.map(|(at, _)| at).min_by_key(|at| (at + count - turn % count.max(1)) % count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Duration = Duration::from_secs(100);

    fn at(timeline: u32, position: u64) -> Seen {
        Seen { timeline, position }
    }

    /// A healthy standby on a timeline that began at 100 × its number.
    fn standby(timeline: u32, replayed: u64) -> Report {
        Report {
            is_standby: true,
            is_fed: true,
            received: Some(replayed),
            replayed: Some(replayed),
            last_change: Some(Duration::from_secs(3600)),
            timeline,
            began: u64::from(timeline) * 100,
        }
    }

    fn heard(report: Report, written: Seen) -> ReplicaState {
        let mut state = ReplicaState::default();
        state.hear(report, written, NOW);
        state
    }

    #[test]
    fn positions_are_compared_on_one_timeline_and_up_to_its_beginning() {
        let replica = standby(3, 400);
        for (seen, wanted) in [
            (Seen::NOTHING, true),
            (at(3, 400), true),
            (at(3, 401), false),
            (at(2, 300), true),
            (at(2, 301), false),
            (at(1, 300), true),
            (at(1, 350), false),
            (at(4, 1), false),
        ] {
            assert_eq!(replica.covers(seen), wanted, "{seen:?}");
        }
        assert!(!Report { replayed: None, ..replica }.covers(at(3, 1)));
    }

    #[test]
    fn an_idle_primary_is_no_lag_and_one_that_is_gone_may_be() {
        let idle = standby(1, 50);
        assert_eq!(idle.lag(), Some(Duration::ZERO));
        assert_eq!(
            Report { received: Some(40), ..idle }.lag(),
            Some(Duration::ZERO),
            "sent anew from an earlier place"
        );
        assert_eq!(Report { is_fed: false, ..idle }.lag(), idle.last_change);
        assert_eq!(Report { received: Some(51), ..idle }.lag(), idle.last_change);
        assert_eq!(Report { received: None, last_change: None, ..idle }.lag(), None);
        assert_eq!(Report { replayed: None, last_change: None, ..idle }.lag(), None);
    }

    #[test]
    fn who_is_not_known_to_be_well_does_not_serve() {
        let (well, written) = (standby(2, 250), at(2, 250));
        let after =
            |report, later| heard(report, written).serves(written, NOW + later).map(|report| report.replayed);
        assert_eq!(after(well, Duration::ZERO), Ok(Some(250)));
        assert_eq!(after(well, KNOWN_FOR), Ok(Some(250)));
        assert_eq!(after(well, KNOWN_FOR + Duration::from_millis(1)), Err(Out::NotHeardOf));
        let promoted = Report { is_standby: false, replayed: None, ..well };
        assert_eq!(after(promoted, Duration::ZERO), Err(Out::Promoted));
        assert_eq!(after(standby(1, 999), Duration::ZERO), Err(Out::ElsewhereInTime));
        assert_eq!(after(standby(3, 999), Duration::ZERO), Err(Out::ElsewhereInTime));
        let unfed = Report { is_fed: false, ..well };
        assert_eq!(after(unfed, Duration::ZERO), Err(Out::Behind));
        let recent = Report { last_change: Some(LAG_MAX), ..unfed };
        assert_eq!(after(recent, Duration::ZERO), Ok(Some(250)));
        let mut lost = heard(well, written);
        lost.lose();
        assert_eq!(lost.serves(written, NOW), Err(Out::Gone));
    }

    /// A standby that is fed nothing and does not notice says that it is up to date.
    #[test]
    fn one_that_does_not_show_what_was_written_long_ago_is_behind() {
        let second = Duration::from_secs(1);
        let mut state = ReplicaState::default();
        let written = at(1, 120);
        for elapsed in 0..=2u32 {
            state.hear(standby(1, 110), at(1, 120 + u64::from(elapsed)), NOW + second * elapsed);
            assert!(state.serves(written, NOW + second * elapsed).is_ok(), "{elapsed}");
        }
        state.hear(standby(1, 110), at(1, 130), NOW + second * 3);
        assert_eq!(state.serves(written, NOW + second * 3), Err(Out::Behind));
        state.hear(standby(1, 121), at(1, 130), NOW + second * 4);
        assert!(state.serves(written, NOW + second * 4).is_ok(), "it owes something younger now");
    }

    #[test]
    fn who_leaves_is_told_with_each_cause_once_and_who_is_back_too() {
        let mut told = Told::default();
        assert_eq!(told.news(None, None), None, "it was never out");
        let gone = Some(News::IsOut(Out::Gone));
        for (words, news) in [
            (Some("connection closed"), gone),
            (Some("connection closed"), None),
            (Some("password authentication failed"), gone),
            (Some("connection closed"), None),
            (None, None),
        ] {
            assert_eq!(told.news(Some(Out::Gone), words), news, "{words:?}");
        }
        assert_eq!(told.news(Some(Out::Behind), None), Some(News::IsOut(Out::Behind)));
        let many: Vec<_> =
            (0..99).filter_map(|n| told.news(Some(Out::Behind), Some(&n.to_string()))).collect();
        assert_eq!(many.len(), WORDS_MAX - 2, "one that says something else each time");
        assert_eq!(told.news(None, None), Some(News::IsBack));
        assert_eq!(told.news(None, None), None);
        assert_eq!(told.news(Some(Out::Gone), Some("connection closed")), gone, "anew");
    }

    #[test]
    fn those_that_can_take_turns() {
        let written = at(1, 200);
        let states =
            [heard(standby(1, 200), written), ReplicaState::default(), heard(standby(1, 150), written)];
        let chosen = |seen, turn| choose(states.iter(), seen, written, NOW, turn);
        let turns: Vec<_> = (0..6).map(|turn| chosen(at(1, 150), turn)).collect();
        assert_eq!(turns, [Some(0), Some(2), Some(2), Some(0), Some(2), Some(2)]);
        assert_eq!(chosen(at(1, 151), 2), Some(0));
        assert_eq!(chosen(at(1, 201), 0), None);
        assert_eq!(choose([].iter(), Seen::NOTHING, written, NOW, 5), None);
    }

    /// A history: timelines of one another, each begun where the one before was cut. What is written at
    /// a place is visible to whoever has replayed it; what was cut off is visible to nobody later.
    #[derive(Clone, Debug)]
    struct History {
        /// How far each timeline went, and where the next one begins.
        cuts: Vec<u64>,
    }

    impl History {
        /// What a server at `place` shows: the places of each timeline, up to which.
        fn shows(&self, place: Seen) -> Vec<u64> {
            let last = place.timeline as usize - 1;
            // Each began where the one before was cut: what survived of a timeline ends there.
            let mut parts: Vec<u64> = self.cuts[..last].to_vec();
            parts.push(place.position);
            parts
        }

        /// Where timeline `number` is marked: a little after it began.
        fn began(&self, number: u32) -> u64 {
            if number == 1 { 0 } else { self.cuts[number as usize - 2] + 3 }
        }
    }

    proptest! {
        /// P4: who is answered by a replica that covers what it has seen sees nothing that is older, but
        /// for what a failover has lost for everybody.
        #[test]
        fn a_replica_that_covers_shows_no_less(
            cuts in prop::collection::vec(1u64..100, 3),
            (seen_on, seen_at) in (1u32..=4, 0u64..120),
            (on, ahead) in (1u32..=4, 0u64..300),
        ) {
            // Each timeline begins where the one before was cut, and goes on from there.
            let mut sum = 0;
            let cuts: Vec<u64> = cuts.into_iter().map(|more| { sum += more; sum }).collect();
            let history = History { cuts };
            let seen = at(seen_on, history.began(seen_on) + seen_at);
            let replayed = history.began(on) + ahead;
            let report = Report { began: history.began(on), ..standby(on, replayed) };
            if !report.covers(seen) {
                return Ok(());
            }
            let shown = history.shows(at(on, replayed));
            let had = history.shows(seen);
            // Of every timeline that both have been on, all that the newest one kept.
            for (at, had) in had.iter().enumerate() {
                let kept = history.cuts[at.min(history.cuts.len())..(on as usize - 1).max(at).min(history.cuts.len())].iter().min().copied().unwrap_or(u64::MAX);
                prop_assert!(at < shown.len(), "it shows a timeline that the replica has not come to");
                prop_assert!(shown[at] >= (*had).min(kept), "{seen:?} {report:?}");
            }
        }

        /// The choice never falls on one that does not serve or does not cover, and falls on one if there is one.
        #[test]
        fn the_choice_is_one_that_can(
            replicas in prop::collection::vec((1u32..3, 0u64..300, any::<bool>(), any::<bool>()), 0..5),
            (timeline, position) in (0u32..3, 0u64..300),
            turn in any::<usize>(),
        ) {
            let written = at(2, 300);
            let states: Vec<_> = replicas.iter().map(|(on, replayed, is_standby, is_fed)| {
                heard(Report { is_standby: *is_standby, is_fed: *is_fed, ..standby(*on, *replayed) }, written)
            }).collect();
            let seen = at(timeline, position);
            let can = |state: &ReplicaState| state.serves(written, NOW).is_ok_and(|report| report.covers(seen));
            match choose(states.iter(), seen, written, NOW, turn) {
                Some(chosen) => prop_assert!(can(&states[chosen])),
                None => prop_assert!(!states.iter().any(can)),
            }
        }
    }
}
