//! The options that several commands share.

use chunkstore::engine::parse_bytes;
use chunkstore_store::{Arena, Ledger};

/// How a command answers.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Common {
    /// Print JSON instead of text; the fields are listed in the long help of each command.
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
    /// When to use colours; `auto` means: on a terminal, unless NO_COLOR is set.
    #[arg(long, value_enum, default_value_t = When::Auto, value_name = "WHEN", help_heading = "Output")]
    pub(crate) color: When,
    /// Draw with ASCII characters only; the default where the locale is not UTF-8.
    #[arg(long, help_heading = "Output")]
    pub(crate) ascii: bool,
}

/// When something is done.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Where it makes sense.
    Auto,
    /// In any case.
    Always,
    /// In no case.
    Never,
}

/// How much memory a command may take.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Memory {
    /// The most memory for chunks, such as 256MiB or 2GB; a chunk that does not fit is an error.
    #[arg(long, value_name = "BYTES", default_value = "256MiB", value_parser = memory)]
    pub(crate) memory: u64,
}

impl Memory {
    /// Memory of that size, counted.
    pub(crate) fn arena(&self) -> Arena {
        // Few buffers live at a time, and what waits to be used again would only be in the way of large ones.
        Arena::with_pool(Ledger::new(self.memory), self.memory / 8)
    }

    /// A part of it, in bytes that can be addressed.
    pub(crate) fn part(&self, of: u64) -> usize {
        usize::try_from(self.memory / of).unwrap_or(usize::MAX)
    }
}

/// What a command looks at: all of a store, or something in it.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Look {
    /// A store, or what is in one: STORE, STORE/NAME; or the folder of an append log.
    #[arg(value_name = "ADDRESS", default_value = ".", value_hint = clap::ValueHint::AnyPath)]
    pub(crate) address: String,
    #[command(flatten)]
    pub(crate) memory: Memory,
}

/// How a dataset is made.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Make {
    /// Replace a dataset that exists.
    #[arg(long)]
    pub(crate) replace: bool,
    /// Make the store where there is none; the name is then the last part of the path, or what follows two slashes.
    #[arg(long)]
    pub(crate) create: bool,
    #[command(flatten)]
    pub(crate) memory: Memory,
}

fn memory(text: &str) -> Result<u64, String> {
    match parse_bytes(text) {
        Ok(bytes) if bytes >= 16 << 20 => Ok(bytes),
        Ok(_) => Err("at least 16MiB are needed".into()),
        Err(error) => Err(error.to_string()),
    }
}
