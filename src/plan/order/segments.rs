//! Stretches of an order that belong together, and in which order independent ones cost least.
//!
//! ```text
//!   bytes |   hill            A segment climbs to its hill and ends at its net: above or below where it began.
//!         |   /\              Of independent segments those with a negative net go first, by smallest hill, then
//!         |  /  \___ net      the others by largest (hill - net).
//!         +--+---+---->       A segment that would go before the one it follows is joined with it.
//! ```
//!
//! Sorting what is left merges independent sequences at the least peak (Liu, *An application of generalized tree pebbling to
//! sparse matrix factorization*, SIAM J. Alg. Disc. Meth. 8, 1987; for series-parallel graphs Kayaaslan, Lambert, Marchal, Ucar,
//! *Scheduling series-parallel task graphs to minimize peak memory*, Theor. Comput. Sci. 707, 2018).

/// A stretch: how far it climbs above where it begins, and by how much it ends above that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) hill: i64,
    pub(crate) net: i64,
}

impl Segment {
    /// This one, then another.
    pub(crate) fn then(self, next: Segment) -> Segment {
        Segment { hill: self.hill.max(self.net + next.hill), net: self.net + next.net }
    }

    /// Smaller ones go first.
    pub(crate) fn key(self) -> (bool, i64) {
        if self.net < 0 { (false, self.hill) } else { (true, self.net - self.hill) }
    }
}
