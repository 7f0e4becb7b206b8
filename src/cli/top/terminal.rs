//! The terminal while `top` has it: a screen of its own, keys read one by one, everything put back at the end.

use std::{
    io::{self, IsTerminal, Read, Write},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr},
};

use super::screen::Size;
use crate::error::{Error, Result};

// DEC private modes: another screen (1049), no wrapping of long lines (7), no cursor (25).
const ENTER: &str = "\x1b[?1049h\x1b[?7l\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?7h\x1b[?1049l";
const CTRL_C: u8 = 3;

/// A terminal that is ours until dropped.
pub(super) struct Terminal {
    /// How keys were read before; `None` where there are none to read.
    before: Option<Termios>,
}

impl Terminal {
    pub(super) fn take() -> Result<Self> {
        let stdin = io::stdin();
        let before = if stdin.is_terminal() { Some(tcgetattr(&stdin).map_err(fault)?) } else { None };
        if let Some(before) = &before {
            let mut keys = before.clone();
            keys.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
            tcsetattr(&stdin, OptionalActions::Now, &keys).map_err(fault)?;
        }
        let terminal = Self { before };
        write(ENTER)?;
        Ok(terminal)
    }

    /// As it is now: windows change.
    pub(super) fn size(&self) -> Size {
        match tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                Size { columns: size.ws_col.into(), rows: Some(size.ws_row.into()) }
            }
            _ => Size { columns: 80, rows: Some(24) },
        }
    }

    /// Shows `lines` from the top, without a flicker: each line ends in "erase the rest of it".
    pub(super) fn show(&mut self, lines: &[String]) -> Result<()> {
        write(&format!("\x1b[H{}\x1b[K\r\n\x1b[J\x1b[90mq: end\x1b[0m", lines.join("\x1b[K\r\n")))
    }

    /// Waits for a key, at most `longest`; whether it was `q` or Ctrl-C.
    pub(super) fn wants_to_end(&mut self, longest: Duration) -> Result<bool> {
        if self.before.is_none() {
            std::thread::sleep(longest);
            return Ok(false);
        }
        let mut stdin = io::stdin();
        let timeout = Timespec { tv_sec: longest.as_secs() as i64, tv_nsec: longest.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) => return Ok(false),
            Ok(_) => {}
            Err(error) => return Err(fault(error)),
        }
        let mut keys = [0; 64];
        let count = stdin.read(&mut keys).map_err(|e| Error::io("standard input", e))?;
        // Nothing to read means that the terminal has gone.
        Ok(count == 0 || keys[..count].iter().any(|key| matches!(*key, b'q' | b'Q' | CTRL_C)))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Both fail only where the terminal has gone.
        let _ = write(LEAVE);
        let _ = self.before.as_ref().map(|before| tcsetattr(io::stdin(), OptionalActions::Now, before));
    }
}

fn fault(error: Errno) -> Error {
    Error::io("the terminal", error.into())
}

fn write(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| Error::io("standard output", e))
}
