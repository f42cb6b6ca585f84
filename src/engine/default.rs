//! The engine that `compute()` without an engine uses.

use super::Engine;
use crate::Result;
use parking_lot::Mutex;

static DEFAULT: Mutex<Option<Engine>> = Mutex::new(None);

/// The engine that collections compute on where none is named: made at first use, with all defaults, and never changed.
/// It says its bound once, on standard error where that is a terminal.
pub(crate) fn default_engine() -> Result<Engine> {
    let mut engine = DEFAULT.lock();
    if let Some(engine) = &*engine {
        return Ok(engine.clone());
    }
    let made = Engine::builder().build()?;
    if std::io::IsTerminal::is_terminal(&std::io::stderr()) {
        eprintln!("chunkstore: a default engine with {} of memory", super::memory::show_bytes(made.memory()));
    }
    *engine = Some(made.clone());
    Ok(made)
}
