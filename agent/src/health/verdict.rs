//! The pure part: what the questions to haproxy told so far, and what this node says of itself.

use std::time::Duration;

/// What one question to haproxy told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It answered well, in time.
    Good,
    /// It answered otherwise, nobody accepts connections, or there was no answer in time from one that ran meanwhile.
    Bad,
    /// No answer in time, and its threads want to run: the machine gives it no processor. One that spins is ended by haproxy's
    /// own watchdog, and then systemd tells.
    Starved,
    /// No answer, and while the question waited none of its threads ran or wanted to.
    Hung,
    /// systemd says that its unit is not active.
    Dead,
}

/// A haproxy that answers badly [`BAD`] times in a row makes a node sick; one that is merely starved twice as often.
const SICK_AT: u32 = 6;
const BAD: u32 = 2;
const STARVED: u32 = 1;
/// Good answers in a row that make a sick node fine again, so that a flapping haproxy does not move the VIP each time.
const FINE_AFTER: u32 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthVerdict {
    pub fine: bool,
    /// How much has been told in a row against the verdict.
    pub against: u32,
}

impl HealthVerdict {
    /// Before the first question.
    pub const FINE: Self = Self {
        fine: true,
        against: 0,
    };

    /// What another answer makes of it. One proof that it cannot answer is enough; moving the VIP on a machine that is merely
    /// slow would cut every connection for nothing.
    pub fn after(self, told: Told) -> Self {
        let against = match (self.fine, told) {
            (_, Told::Hung | Told::Dead) => {
                return Self {
                    fine: false,
                    against: 0,
                };
            }
            (true, Told::Bad) => self.against + BAD,
            (true, Told::Starved) => self.against + STARVED,
            (false, Told::Good) => self.against + 1,
            (true, Told::Good) | (false, _) => 0,
        };
        let enough = if self.fine { SICK_AT } else { FINE_AFTER };
        match against >= enough {
            true => Self {
                fine: !self.fine,
                against: 0,
            },
            false => Self { against, ..self },
        }
    }

    /// After one bad answer the next question follows at once.
    pub fn asks_at_once(self) -> bool {
        self.fine && self.against > 0
    }
}

/// Since when haproxy has given no good answer, although its machine let it run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Silence {
    since: Option<Duration>,
}

impl Silence {
    /// What a question asked then, by the monotonic clock, makes of it. A dead unit is another's to start.
    pub fn after(self, told: Told, asked: Duration) -> Self {
        let since = match told {
            Told::Bad | Told::Hung => self.since.or(Some(asked)),
            Told::Good | Told::Starved | Told::Dead => None,
        };
        Self { since }
    }

    /// How long it has lasted by then.
    pub fn lasted_at(self, now: Duration) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now - since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_lasts_until_any_sign_of_life() {
        let second = Duration::from_secs;
        for life in [Told::Good, Told::Starved, Told::Dead] {
            let silence = Silence::default().after(Told::Hung, second(5));
            let silence = silence.after(Told::Bad, second(9));
            assert_eq!(silence.lasted_at(second(9)), second(4));
            let silence = silence.after(life, second(10));
            assert_eq!(silence.lasted_at(second(99)), Duration::ZERO, "{life:?}");
            let silence = silence.after(Told::Bad, second(12));
            assert_eq!(silence.lasted_at(second(13)), second(1));
        }
    }

    /// Each answer, and whether the node is fine after it.
    fn check_story(story: &[(Told, bool)]) {
        let mut verdict = HealthVerdict::FINE;
        for (i, (told, fine)) in story.iter().enumerate() {
            verdict = verdict.after(*told);
            assert_eq!(verdict.fine, *fine, "after answer {i} of {story:?}");
        }
    }

    #[test]
    fn three_bad_answers_in_a_row_make_sick_and_three_good_ones_fine() {
        use Told::{Bad, Good};
        check_story(&[
            (Bad, true),
            (Bad, true),
            (Good, true),
            (Bad, true),
            (Bad, true),
            (Bad, false),
            (Good, false),
            (Good, false),
            (Bad, false),
            (Good, false),
            (Good, false),
            (Good, true),
        ]);
    }

    #[test]
    fn a_starved_haproxy_has_twice_as_long_as_one_that_runs_and_does_not_answer() {
        use Told::{Bad, Good, Starved};
        check_story(&[
            (Starved, true),
            (Starved, true),
            (Starved, true),
            (Starved, true),
            (Starved, true),
            (Good, true),
            (Starved, true),
            (Starved, true),
            (Bad, true),
            (Bad, false),
            (Good, false),
            (Starved, false),
            (Good, false),
        ]);
    }

    #[test]
    fn proof_needs_no_second_answer() {
        use Told::{Bad, Dead, Good, Hung};
        check_story(&[(Hung, false), (Good, false), (Good, false), (Hung, false)]);
        check_story(&[(Dead, false), (Dead, false), (Bad, false), (Good, false)]);
    }

    #[test]
    fn after_one_bad_answer_the_next_question_follows_at_once() {
        let fine = HealthVerdict::FINE;
        assert!(!fine.asks_at_once());
        assert!(fine.after(Told::Bad).asks_at_once());
        let sick = fine.after(Told::Hung);
        assert!(
            !sick.after(Told::Good).asks_at_once(),
            "not while it is sick"
        );
    }
}
