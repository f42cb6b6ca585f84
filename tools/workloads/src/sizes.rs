//! How large each workload is, and the bound that it gets where none is named: `common.py` in numbers.

/// One of the two sizes of every workload.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// Minutes for all workloads together.
    Small,
    /// An hour or two.
    Full,
}

impl Size {
    /// The name of the folder with the data.
    pub(crate) fn name(self) -> &'static str {
        self.pick("small", "full")
    }

    fn pick<T>(self, small: T, full: T) -> T {
        match self {
            Size::Small => small,
            Size::Full => full,
        }
    }

    /// The numbers of tasks of `tasks`.
    pub(crate) fn tasks(self) -> &'static [u64] {
        self.pick(&[1000, 10_000], &[1000, 10_000, 100_000])
    }

    /// The numbers of tasks of `tasks-1e6`.
    pub(crate) fn many_tasks(self) -> &'static [u64] {
        self.pick(&[100_000], &[1_000_000])
    }

    /// The numbers of tasks of `tasks-1e7`.
    pub(crate) fn most_tasks(self) -> &'static [u64] {
        self.pick(&[1_000_000], &[10_000_000])
    }

    /// The rows and columns of `lazyslice`.
    pub(crate) fn lazyslice(self) -> usize {
        self.pick(2000, 10_000)
    }

    /// The chunks of `spill_chunks`, and the bytes of them that are held in memory.
    pub(crate) fn spill_chunks(self) -> (u64, u64) {
        self.pick((128, 64 << 20), (512, 256 << 20))
    }

    /// The partitions of `spill_log`, the appends to each, and the bytes of its buffer.
    pub(crate) fn spill_log(self) -> (u32, u32, u64) {
        self.pick((64, 64, 32 << 20), (256, 256, 512 << 20))
    }

    /// The bound of a workload in bytes; none where it runs unbounded.
    pub(crate) fn bound(self, workload: &str) -> Option<u64> {
        let full = match workload {
            "wordcount" | "bag_groupby" => return Some(256 << 20),
            "reduce" => 1024,
            "spill_chunks" => 768,
            "spill_log" => 1024,
            _ => return None,
        };
        Some(self.pick(2048, full) << 20)
    }
}
