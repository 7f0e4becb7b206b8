//! Bodies that come too slowly end with an error: no pause longer than one limit, and all of it within another.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{BoxError, body::Body};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// A body with its two alarms.
pub(super) struct TimedBody {
    inner: Body,
    idle: Duration,
    next: Pin<Box<Sleep>>,
    end: Instant,
}

impl TimedBody {
    /// `inner`, with at most `idle` between pieces and `total` for all.
    pub(super) fn new(inner: Body, idle: Duration, total: Duration) -> Self {
        let now = Instant::now();
        let end = now + total;
        Self { inner, idle, next: Box::pin(tokio::time::sleep_until(end.min(now + idle))), end }
    }
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            let alarm = self.end.min(Instant::now() + self.idle);
            self.next.as_mut().reset(alarm);
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        match self.next.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::TimedOut).into()))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
