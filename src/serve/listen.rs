//! Sockets: Unix and TCP, our own or the service manager's, each with a loop that accepts, bounds and drains connections.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use listenfd::ListenFd;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;
use tracing::{debug, info, warn};

use super::{core::Core, http::Peer};
use crate::{
    config::Config,
    error::{Error, Result},
};

/// Bytes of a request's head, and of what is read ahead of its body.
const HEAD_BYTES: usize = 32 << 10;
/// How long, and how much, a closed connection is read on.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: u64 = 16 << 20;
/// Pause after the system refused a connection, most likely for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Sockets that are open, in the order in which they are served.
pub(super) struct Sockets {
    listeners: Vec<Listener>,
    /// Ours to remove at the end.
    unix_path: Option<PathBuf>,
}

enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Sockets {
    /// Takes the service manager's sockets, or opens those of `config`.
    ///
    /// # Errors
    /// A socket that cannot be opened, or TCP beyond this machine without TLS.
    pub(super) fn open(config: &Config) -> Result<Self> {
        let mut sockets = Self { listeners: Vec::new(), unix_path: None };
        sockets.take_activated(config)?;
        let has_unix = sockets.listeners.iter().any(|listener| matches!(listener, Listener::Unix(_)));
        let has_tcp = sockets.listeners.iter().any(|listener| matches!(listener, Listener::Tcp(_)));
        let path = &config.server.unix_socket;
        if !has_unix && !path.as_os_str().is_empty() {
            sockets.listeners.push(Listener::Unix(bind_unix(path, config.server.unix_mode_bits().unwrap_or(0o660))?));
            sockets.unix_path = Some(path.clone());
            info!(path = %path.display(), "listening");
        }
        if let Some(address) = config.server.tcp.filter(|_| !has_tcp) {
            let listener = std::net::TcpListener::bind(address).and_then(|listener| {
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener)
            });
            let listener = listener.map_err(|e| Error::io(format!("server.tcp {address}"), e))?;
            info!(address = %listener.local_addr().unwrap_or(address), tls = config.server.tls.is_some(), "listening");
            sockets.listeners.push(Listener::Tcp(listener));
        }
        Ok(sockets)
    }

    fn take_activated(&mut self, config: &Config) -> Result<()> {
        let fault = |e| Error::io("socket of the service manager", e);
        let mut given = ListenFd::from_env();
        for index in 0..given.len() {
            if let Ok(Some(listener)) = given.take_unix_listener(index) {
                listener.set_nonblocking(true).map_err(fault)?;
                self.listeners.push(Listener::Unix(UnixListener::from_std(listener).map_err(fault)?));
            } else if let Some(listener) = given.take_tcp_listener(index).map_err(fault)? {
                let is_local = listener.local_addr().map_err(fault)?.ip().is_loopback();
                if !is_local && config.server.tls.is_none() {
                    return Err(Error::Config(
                        "[server.tls] must be set: the socket unit listens beyond loopback".into(),
                    ));
                }
                listener.set_nonblocking(true).map_err(fault)?;
                self.listeners.push(Listener::Tcp(TcpListener::from_std(listener).map_err(fault)?));
            }
            info!(index, "listening on the service manager's socket");
        }
        Ok(())
    }

    /// Serves until the daemon stops, then lets open requests end within `drain`.
    pub(super) async fn serve(self, core: Arc<Core>, router: Router, drain: Duration) {
        let most = Arc::new(Semaphore::new(core.in_force().config.server.max_connections));
        let mut loops = JoinSet::new();
        for listener in self.listeners {
            let (core, router, most) = (Arc::clone(&core), router.clone(), Arc::clone(&most));
            loops.spawn(accept_loop(listener, core, router, most, drain));
        }
        while loops.join_next().await.is_some() {}
        if let Some(path) = self.unix_path {
            // Whoever has put another socket there meanwhile has the store's lock, and we would not be here.
            let _ = fs::remove_file(path);
        }
    }
}

/// Binds beside the final place, so that the socket never shows with other permissions.
fn bind_unix(path: &Path, mode: u32) -> Result<UnixListener> {
    let fault = |e| Error::io(format!("server.unix_socket {}", path.display()), e);
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(fault)?;
    }
    let beside = path.with_extension("new");
    match fs::remove_file(&beside) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(fault(e)),
        _ => {}
    }
    let listener = UnixListener::bind(&beside).map_err(fault)?;
    fs::set_permissions(&beside, fs::Permissions::from_mode(mode)).map_err(fault)?;
    fs::rename(&beside, path).map_err(fault)?;
    Ok(listener)
}

/// A connection before TLS.
enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Listener {
    async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let uid = stream.peer_cred().ok().map(|peer| peer.uid());
                Ok((Stream::Unix(stream), Peer::Unix { uid }))
            }
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // Answers are small and whole: waiting for more to send only delays them.
                let _ = stream.set_nodelay(true);
                Ok((Stream::Tcp(stream), Peer::Tcp { address }))
            }
        }
    }
}

async fn accept_loop(listener: Listener, core: Arc<Core>, router: Router, most: Arc<Semaphore>, drain: Duration) {
    let mut connections = JoinSet::new();
    loop {
        let permit = tokio::select! {
            permit = Arc::clone(&most).acquire_owned() => permit,
            () = core.stopping() => break,
        };
        let Ok(permit) = permit else { break };
        let accepted = loop {
            tokio::select! {
                accepted = listener.accept() => break Some(accepted),
                Some(_) = connections.join_next() => {}
                () = core.stopping() => break None,
            }
        };
        match accepted {
            None => break,
            Some(Err(error)) => {
                warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
            Some(Ok((stream, peer))) => {
                let (core, router) = (Arc::clone(&core), router.clone());
                connections.spawn(async move {
                    connection(stream, peer, &core, router).await;
                    drop(permit);
                });
            }
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(drain, all).await.is_err() {
        warn!(open = connections.len(), "requests did not end in time: cut off");
    }
    connections.shutdown().await;
}

async fn connection(stream: Stream, peer: Peer, core: &Core, router: Router) {
    let in_force = core.in_force();
    match (stream, &in_force.tls) {
        (Stream::Unix(stream), _) => http(stream, peer, core, router).await,
        (Stream::Tcp(stream), None) => http(stream, peer, core, router).await,
        (Stream::Tcp(stream), Some(tls)) => {
            let limit = Duration::from_secs(in_force.config.server.header_timeout_secs);
            match timeout(limit, TlsAcceptor::from(Arc::clone(tls)).accept(stream)).await {
                Ok(Ok(stream)) => http(stream, peer, core, router).await,
                Ok(Err(error)) => debug!(%error, "no TLS"),
                Err(_) => debug!("no TLS in time"),
            }
        }
    }
}

async fn http(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer, core: &Core, router: Router) {
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer.clone());
        router.clone().oneshot(request)
    });
    let limit = Duration::from_secs(core.in_force().config.server.header_timeout_secs);
    let (stream, kept) = Kept::share(stream);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limit)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let ended = {
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = core.stopping() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection ended early");
    }
    // A WebSocket has taken the stream with it.
    if let Some(stream) = kept.into_inner() {
        linger(stream).await;
    }
}

/// A stream with a second handle, by which it can be had back once hyper has let go of it.
struct Kept<S>(Arc<Mutex<S>>);

impl<S> Kept<S> {
    fn share(stream: S) -> (Self, Self) {
        let shared = Arc::new(Mutex::new(stream));
        (Self(Arc::clone(&shared)), Self(shared))
    }

    fn into_inner(self) -> Option<S> {
        Some(Arc::into_inner(self.0)?.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S: Unpin> Kept<S> {
    fn with<R>(&self, work: impl FnOnce(Pin<&mut S>) -> R) -> R {
        work(Pin::new(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Kept<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_read(cx, buffer))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Kept<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|stream| stream.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_shutdown(cx))
    }
}

/// Reads on a little after the last answer: a connection that is closed over unread bytes is reset, and a client that was
/// refused in the middle of its upload would lose the answer that says why.
async fn linger(stream: impl AsyncRead + Unpin) {
    let mut rest = stream.take(LINGER_BYTES);
    // However it ends, it was only a courtesy.
    let _ = timeout(LINGER, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
}
