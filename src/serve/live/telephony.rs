//! The sockets of plain RTP and SIPREC, opened at the start so that trouble is known then, and served together.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{rtp, siprec};
use crate::{config::Live, error::Result, serve::core::Core};

/// All that `[[live.rtp]]` and `[live.siprec]` ask for.
pub(in crate::serve) struct Telephony {
    ports: Vec<rtp::Port>,
    siprec: Option<siprec::Listening>,
}

impl Telephony {
    /// Opens the sockets; inside the runtime.
    ///
    /// # Errors
    /// A socket that cannot be opened.
    pub(in crate::serve) fn open(config: &Live) -> Result<Self> {
        let ports = config.rtp.iter().map(rtp::Port::open).collect::<Result<_>>()?;
        let siprec = config.siprec.as_ref().map(siprec::Listening::open).transpose()?;
        Ok(Self { ports, siprec })
    }

    /// Serves them until the service stops.
    pub(in crate::serve) async fn serve(self, core: Arc<Core>) {
        let mut tasks = JoinSet::new();
        for port in self.ports {
            tasks.spawn(rtp::run(Arc::clone(&core), port));
        }
        if let Some(siprec) = self.siprec {
            tasks.spawn(siprec::run(Arc::clone(&core), siprec));
        }
        while tasks.join_next().await.is_some() {}
    }
}
