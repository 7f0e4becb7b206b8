//! Sockets of transports that do not come over HTTP: opened at start, served until the daemon stops.

use std::sync::Arc;

use tokio::{net::TcpListener, task::JoinSet};
use tracing::info;

use super::{audiosocket, rtp, siprec};
use crate::{
    config::Config,
    error::{Error, Result},
    serve::core::Core,
};

/// Sockets that are open.
pub(in crate::serve) struct Listeners {
    audiosocket: Option<TcpListener>,
    rtp: Vec<rtp::Port>,
    siprec: Option<siprec::Listening>,
}

impl Listeners {
    /// Opens what `config` names; to be called inside the runtime.
    ///
    /// # Errors
    /// A socket that cannot be opened.
    pub(in crate::serve) fn open(config: &Config) -> Result<Self> {
        let audiosocket = config.live.audiosocket.as_ref().map(|audiosocket| {
            let listen = audiosocket.listen;
            let bound = std::net::TcpListener::bind(listen).and_then(|listener| {
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener)
            });
            let bound = bound.map_err(|e| Error::io(format!("live.audiosocket.listen {listen}"), e))?;
            info!(address = %bound.local_addr().unwrap_or(listen), "listening for AudioSocket");
            Ok::<_, Error>(bound)
        });
        let rtp = config.live.rtp.iter().map(rtp::Port::open).collect::<Result<_>>()?;
        let siprec = config.live.siprec.as_ref().map(siprec::Listening::open).transpose()?;
        Ok(Self { audiosocket: audiosocket.transpose()?, rtp, siprec })
    }

    /// Serves until the daemon stops and every connection has ended.
    pub(in crate::serve) async fn serve(self, core: Arc<Core>) {
        let mut loops = JoinSet::new();
        if let Some(listener) = self.audiosocket {
            loops.spawn(audiosocket::serve(listener, Arc::clone(&core)));
        }
        for port in self.rtp {
            loops.spawn(rtp::run(Arc::clone(&core), port));
        }
        if let Some(siprec) = self.siprec {
            loops.spawn(siprec::run(Arc::clone(&core), siprec));
        }
        while loops.join_next().await.is_some() {}
    }
}
