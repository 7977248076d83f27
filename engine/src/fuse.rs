//! The circuit breaker: many give-ups in a row mean that the fault is ours.

/// Counts events given up in a row after all their retries, and bugs of ours. Bad events never
/// count: a thousand corrupt uploads are a thousand dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fuse {
    limit: u32,
    given_up: u32,
}

/// What a verdict says about us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// Something went through.
    Good,
    /// Says nothing: the event was bad, or will be tried again.
    None,
    /// Given up after all retries, or a bug.
    Bad,
}

impl Fuse {
    pub(crate) fn new(limit: u32) -> Self {
        Self { limit, given_up: 0 }
    }

    /// Takes note of a verdict; true when the fuse is blown.
    pub(crate) fn note(&mut self, sign: Sign) -> bool {
        match sign {
            Sign::Good => self.given_up = 0,
            Sign::None => {}
            Sign::Bad => self.given_up += 1,
        }
        self.given_up >= self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blows(signs: &[Sign]) -> bool {
        let mut fuse = Fuse::new(2);
        signs.iter().any(|sign| fuse.note(*sign))
    }

    #[test]
    fn only_give_ups_in_a_row_blow_it() {
        assert!(blows(&[Sign::Bad, Sign::Bad]));
        assert!(blows(&[Sign::Bad, Sign::None, Sign::Bad]));
        assert!(!blows(&[Sign::Bad, Sign::Good, Sign::Bad]));
        assert!(!blows(&[Sign::None; 100]));
    }
}
