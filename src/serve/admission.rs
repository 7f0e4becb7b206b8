//! Admission: how many jobs and how many bytes of audio may be inside at once. Whoever gets a [`Ticket`] is inside until it
//! is dropped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts what is inside.
#[derive(Default)]
pub struct Admission {
    inside: Mutex<Load>,
}

/// What is inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Jobs that wait, run or come in.
    pub jobs: usize,
    /// Bytes of their audio.
    pub bytes: u64,
}

/// There is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl Admission {
    /// Lets a job with `bytes` of audio in, where `most` allows it.
    ///
    /// # Errors
    /// [`Full`].
    pub fn admit(self: &Arc<Self>, bytes: u64, most: Load) -> Result<Ticket, Full> {
        let mut inside = self.lock();
        if inside.jobs >= most.jobs || inside.bytes.saturating_add(bytes) > most.bytes {
            return Err(Full);
        }
        inside.jobs += 1;
        inside.bytes += bytes;
        Ok(Ticket { admission: Arc::clone(self), bytes })
    }

    /// Lets a job in that was accepted before, whatever there is inside.
    pub fn readmit(self: &Arc<Self>, bytes: u64) -> Ticket {
        let mut inside = self.lock();
        inside.jobs += 1;
        inside.bytes = inside.bytes.saturating_add(bytes);
        Ticket { admission: Arc::clone(self), bytes }
    }

    /// What is inside now.
    pub fn load(&self) -> Load {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Load> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One job inside.
pub struct Ticket {
    admission: Arc<Admission>,
    bytes: u64,
}

impl Ticket {
    /// Makes room for a job that turned out to have `total_bytes` so far.
    ///
    /// # Errors
    /// [`Full`].
    pub fn grow(&mut self, total_bytes: u64, most: Load) -> Result<(), Full> {
        let more = total_bytes.saturating_sub(self.bytes);
        let mut inside = self.admission.lock();
        if inside.bytes.saturating_add(more) > most.bytes {
            return Err(Full);
        }
        inside.bytes += more;
        self.bytes += more;
        Ok(())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut inside = self.admission.lock();
        inside.jobs -= 1;
        inside.bytes = inside.bytes.saturating_sub(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_and_bytes_are_bounded_and_come_free() {
        let admission = Arc::new(Admission::default());
        let most = Load { jobs: 2, bytes: 100 };
        let mut first = admission.admit(60, most).ok().unwrap();
        assert!(admission.admit(41, most).is_err(), "bytes");
        let second = admission.admit(10, most).ok().unwrap();
        assert!(admission.admit(0, most).is_err(), "jobs");
        assert_eq!(first.grow(91, most), Err(Full));
        assert_eq!((first.grow(90, most), first.grow(80, most)), (Ok(()), Ok(())));
        assert_eq!(admission.load(), Load { jobs: 2, bytes: 100 });
        let third = admission.readmit(500);
        drop((first, second, third));
        assert_eq!(admission.load(), Load::default());
    }
}
