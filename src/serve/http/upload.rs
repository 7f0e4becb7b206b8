//! `POST /v1/scans`: audio in, raw or as a form, streamed to the spool; a job id out, or the verdict where the client waits.

use std::time::Duration;

use axum::{
    body::{Body, BodyDataStream},
    extract::{FromRequest, Multipart, Request, State, multipart::Field},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::{fs::File, io::AsyncWriteExt, sync::oneshot, time::timeout};

use super::{
    App,
    auth::Caller,
    extract::{Params, body_problem, text},
    problem::{Problem, Result, WriteFaults},
    scans::{self, ScanDetail},
};
use crate::{
    config::Scope,
    model::hex,
    serve::{admission::Ticket, core::Core, core::Phase},
    store::{
        Audio, JobId, NewJob, State as JobState, StoreError,
        jobs::{self, Accepted},
    },
};

/// Bytes that a file collects before it writes.
const FILE_BUFFER_BYTES: usize = 64 << 10;

/// What may be said about an upload: in the query, or as fields of a form.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::serve) struct About {
    /// File name: `path` of the result; its extension helps with headerless audio. Default: `upload`.
    #[param(min_length = 1, max_length = 255, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")]
    name: Option<String>,
    /// Your own mark, to find it by.
    #[param(min_length = 1, max_length = 255, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")]
    label: Option<String>,
    /// Where it comes from. Default: `api`.
    #[param(min_length = 1, max_length = 255, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")]
    source: Option<String>,
    /// Name of the policy.
    #[param(min_length = 1, max_length = 64)]
    policy: Option<String>,
    /// Where a page's form sends it: the token that this must hold before its file.
    #[serde(skip)]
    #[param(ignore)]
    form_token: Option<String>,
    /// Whether that has come.
    #[serde(skip)]
    #[param(ignore)]
    is_of_page: bool,
}

/// Why a form is refused that no page of ours sent.
pub(in crate::serve) const FORM_WORDS: &str =
    "The form is too old, or not one of ours: open the page again and send it once more.";
/// Field of a page's form.
pub(in crate::serve) const FORM_TOKEN: &str = "form_token";

impl About {
    /// As handed in by a page of ours.
    pub(in crate::serve) fn from_console(name: Option<&str>, label: Option<&str>, policy: Option<&str>) -> Self {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let (name, label, policy) = (text(name), text(label), text(policy));
        Self { name, label, source: Some("console".into()), policy, ..Self::default() }
    }

    /// As a page's form will say, which must hold this token before its file.
    pub(in crate::serve) fn from_form(form_token: String) -> Self {
        Self { source: Some("console".into()), form_token: Some(form_token), ..Self::default() }
    }

    /// Takes a field of a page's form; `false` where it is for [`About::set`].
    fn set_of_page(&mut self, field: &str, value: &str) -> bool {
        let Some(expected) = &self.form_token else { return false };
        if field == FORM_TOKEN && bool::from(value.as_bytes().ct_eq(expected.as_bytes())) {
            self.is_of_page = true;
        }
        // Such a form also sends what was left empty.
        field == FORM_TOKEN || value.is_empty()
    }

    /// Takes one field of a form; `false` where there is no such field.
    fn set(&mut self, field: &str, value: String) -> bool {
        match field {
            "name" => self.name = Some(value),
            "label" => self.label = Some(value),
            "source" => self.source = Some(value),
            "policy" => self.policy = Some(value),
            _ => return false,
        }
        true
    }
}

/// A form with the audio, and what may be said about it.
#[derive(utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "describes the form in /openapi.json; the form is read as a stream")]
pub(super) struct Form {
    /// The audio.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// File name, where the file's own is not wanted.
    #[schema(min_length = 1, max_length = 255, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")]
    name: Option<String>,
    /// Your own mark.
    #[schema(min_length = 1, max_length = 255, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")]
    label: Option<String>,
    /// Where it comes from.
    #[schema(min_length = 1, max_length = 255, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")]
    source: Option<String>,
    /// Name of the policy.
    policy: Option<String>,
}

/// Hand in audio
///
/// The body is the audio itself, or a form (multipart/form-data) with the field `file`. It is judged in the background;
/// with `Prefer: wait=SECS` the answer waits for the verdict for so long.
#[utoipa::path(
    post, path = "/v1/scans", tag = "scans",
    params(
        About,
        ("Prefer" = Option<String>, Header, description = "`wait=SECS`, as far as `server.max_wait_secs` allows"),
        (
            "Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]([ -~]*[!-~])?$",
            description = "The same key with the same audio and policy gives the same job",
        ),
    ),
    request_body(
        content((Vec<u8> = "application/octet-stream"), (Form = "multipart/form-data")),
        description = "The audio"
    ),
    responses(
        (status = 200, description = "Judged", body = ScanDetail, links(
            ("get" = (operation_id = "get", parameters(("id" = "$response.body#/id")))),
            ("result" = (operation_id = "result", parameters(("id" = "$response.body#/id")))),
            ("delete" = (operation_id = "delete", parameters(("id" = "$response.body#/id")))),
            ("rejudge" = (operation_id = "rejudge", parameters(("id" = "$response.body#/id")))),
            ("overrule" = (operation_id = "overrule", parameters(("id" = "$response.body#/id")))),
        )),
        (status = 202, description = "Accepted", body = ScanDetail, links(
            ("get" = (operation_id = "get", parameters(("id" = "$response.body#/id")))),
            ("result" = (operation_id = "result", parameters(("id" = "$response.body#/id")))),
            ("delete" = (operation_id = "delete", parameters(("id" = "$response.body#/id")))),
            ("rejudge" = (operation_id = "rejudge", parameters(("id" = "$response.body#/id")))),
            ("overrule" = (operation_id = "overrule", parameters(("id" = "$response.body#/id")))),
        )),
        (status = 400, description = "Not a request that can be meant so", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No token, or an unknown one", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks a scope", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The body came too slowly", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "No policy has this name", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "More audio than one upload may have", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The idempotency key was used for something else", body = Problem, content_type = "application/problem+json"),
        WriteFaults,
    )
)]
pub(in crate::serve) async fn submit(
    State(app): State<App>,
    caller: Caller,
    Params(about): Params<About>,
    request: Request,
) -> Result<Response> {
    caller.require(Scope::Submit)?;
    let core = &app.core;
    if *core.phase().borrow() == Phase::Stopping {
        return Err(Problem::stopping());
    }
    let asked = Asked::of(request.headers())?;
    let announced_bytes = content_length(request.headers());
    let mut upload = Upload::begin(core, announced_bytes)?;
    let about = upload.take(about, request).await?;
    let ticket = upload.ticket.take();
    let (job, ticket) = (upload.finish(&caller, about, asked.idempotency_key).await?, ticket);
    let id = job.id.clone();
    let done = core.wait_for(&id);
    let spool = core.store.spool().clone();
    let sealed = id.clone();
    let Some(ticket) = ticket else { return Err(Problem::full(core.retry_after_secs())) };
    upload.is_handed_over = true;
    let accepted = core.accept(job, ticket, move || spool.publish(&sealed)).await?;
    let id = match accepted {
        Accepted::New(id) | Accepted::Known(id) => id,
        Accepted::Conflict => {
            let detail = "Idempotency-Key: was used for other audio or another policy";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key", detail));
        }
    };
    let wait = asked.wait.min(Duration::from_secs(core.in_force().config.server.max_wait_secs));
    if !wait.is_zero() {
        let done = if id == *upload.id() { done } else { core.wait_for(&id) };
        wait_until(core, &id, done, wait).await?;
    }
    let mut response = answer(core, &id).await?;
    if !wait.is_zero() {
        let applied = format!("wait={}", wait.as_secs());
        response.headers_mut().extend(HeaderValue::from_str(&applied).map(|v| (PREFERENCE_APPLIED, v)));
    }
    Ok(response)
}

/// Waits for `done`, which was asked for before the job is looked at, so that its end is not missed.
async fn wait_until(core: &Core, id: &JobId, done: oneshot::Receiver<()>, wait: Duration) -> Result<()> {
    let wanted = id.clone();
    let job = core.store.read(move |c| jobs::get(c, &wanted)).await?;
    if job.is_some_and(|job| matches!(job.state, JobState::Queued | JobState::Running)) {
        tokio::select! {
            _ = timeout(wait, done) => {}
            () = core.stopping() => {}
        }
    }
    Ok(())
}

const PREFERENCE_APPLIED: header::HeaderName = header::HeaderName::from_static("preference-applied");

/// 200 with the result where there is one, 202 otherwise.
async fn answer(core: &Core, id: &JobId) -> Result<Response> {
    let (mut response, is_done) = scans::detail(core, id).await?;
    *response.status_mut() = if is_done { StatusCode::OK } else { StatusCode::ACCEPTED };
    let location = HeaderValue::from_str(&format!("/v1/scans/{id}"));
    response.headers_mut().extend(location.map(|location| (header::LOCATION, location)));
    Ok(response)
}

/// What headers ask for.
struct Asked {
    wait: Duration,
    idempotency_key: Option<String>,
}

impl Asked {
    fn of(headers: &HeaderMap) -> Result<Self> {
        let prefer = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        let mut preferences = prefer.flat_map(|value| value.split([',', ';'])).map(str::trim);
        let secs = preferences.find_map(|preference| preference.strip_prefix("wait=")?.trim_matches('"').parse().ok());
        let key = headers.get("idempotency-key").map(|value| value.to_str().map(str::to_owned));
        let key = key.transpose().map_err(|_| Problem::bad("Idempotency-Key: must be ASCII text"))?;
        let idempotency_key = key.map(|key| text("Idempotency-Key", key)).transpose()?;
        Ok(Self { wait: Duration::from_secs(secs.unwrap_or(0)), idempotency_key })
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

pub(in crate::serve) fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    kind.trim_start().to_ascii_lowercase().starts_with("multipart/form-data")
}

/// An upload on its way into the spool. Until it is handed over to [`Core::accept`], dropping it removes what came.
struct Upload<'a> {
    core: &'a Core,
    id: JobId,
    file: Option<File>,
    ticket: Option<Ticket>,
    hash: Sha256,
    bytes: u64,
    is_handed_over: bool,
}

impl<'a> Upload<'a> {
    fn begin(core: &'a Core, announced_bytes: Option<u64>) -> Result<Self> {
        let most = core.in_force().config.queue.max_upload_bytes;
        // A form's length counts its other fields too, so a little more may be announced.
        if announced_bytes.is_some_and(|bytes| bytes > most.saturating_add(FILE_BUFFER_BYTES as u64)) {
            return Err(too_large(most));
        }
        let reserved = announced_bytes.unwrap_or(0).min(most);
        let ticket = core.admit(reserved).map_err(|_| Problem::full(core.retry_after_secs()))?;
        let id = JobId::random();
        let mut file = File::from_std(core.store.spool().create(&id)?);
        file.set_max_buf_size(FILE_BUFFER_BYTES);
        let (file, ticket) = (Some(file), Some(ticket));
        Ok(Self { core, id, file, ticket, hash: Sha256::new(), bytes: 0, is_handed_over: false })
    }

    fn id(&self) -> &JobId {
        &self.id
    }

    /// Reads the body to its end.
    async fn take(&mut self, about: About, request: Request) -> Result<About> {
        if is_form(request.headers()) {
            return self.take_form(about, request).await;
        }
        let mut stream: BodyDataStream = request.into_body().into_data_stream();
        while let Some(chunk) = stream.next().await {
            self.write(chunk.map_err(|e| body_problem(&e))?).await?;
        }
        Ok(about)
    }

    async fn take_form(&mut self, mut about: About, request: Request<Body>) -> Result<About> {
        let mut form = Multipart::from_request(request, &()).await.map_err(|e| Problem::bad(e.body_text()))?;
        let mut has_file = false;
        while let Some(field) = form.next_field().await.map_err(|e| form_problem(&e))? {
            let key = field.name().unwrap_or("").to_owned();
            if key == "file" && !has_file {
                if about.form_token.is_some() && !about.is_of_page {
                    return Err(Problem::new(StatusCode::FORBIDDEN, "form_token", FORM_WORDS));
                }
                has_file = true;
                let own_name = field.file_name().map(str::to_owned).filter(|name| !name.is_empty());
                about.name = about.name.or(own_name);
                self.take_field(field).await?;
            } else {
                let value = short_text(field, &key).await?;
                if !about.set_of_page(&key, &value) && !about.set(&key, value) {
                    let detail = "form: the fields are one `file`, `name`, `label`, `source` and `policy`";
                    return Err(Problem::bad(detail));
                }
            }
        }
        if has_file { Ok(about) } else { Err(Problem::bad("form: the field `file` is missing")) }
    }

    async fn take_field(&mut self, mut field: Field<'_>) -> Result<()> {
        while let Some(chunk) = field.chunk().await.map_err(|e| form_problem(&e))? {
            self.write(chunk).await?;
        }
        Ok(())
    }

    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        let in_force = self.core.in_force();
        self.bytes = self.bytes.saturating_add(chunk.len() as u64);
        if self.bytes > in_force.config.queue.max_upload_bytes {
            return Err(too_large(in_force.config.queue.max_upload_bytes));
        }
        let grown = self.ticket.as_mut().is_some_and(|ticket| ticket.grow(self.bytes, in_force.most()).is_ok());
        let (Some(file), true) = (&mut self.file, grown) else {
            self.core.metrics.count("clonewatch_refused_total", &[("reason", "full")]);
            return Err(Problem::full(self.core.retry_after_secs()));
        };
        self.hash.update(&chunk);
        let path = self.core.store.spool().path_of(&self.id);
        file.write_all(&chunk).await.map_err(|e| StoreError::io(&path, e).into())
    }

    /// Puts what came on disk; the job that it makes.
    async fn finish(&mut self, caller: &Caller, about: About, idempotency_key: Option<String>) -> Result<NewJob> {
        let in_force = self.core.in_force();
        let policy = about.policy.or_else(|| caller.policy.clone());
        let policy = policy.unwrap_or_else(|| in_force.config.default_policy.clone());
        if in_force.policy(&policy).is_none() {
            return Err(Problem::no_policy());
        }
        let source = text("source", about.source.unwrap_or_else(|| "api".into()))?;
        if source.starts_with("watch:") || source.starts_with("live:") {
            return Err(Problem::bad("source: `watch:` is for watched folders, `live:` for calls"));
        }
        let name = text("name", about.name.unwrap_or_else(|| "upload".into()))?;
        let label = about.label.map(|label| text("label", label)).transpose()?;
        if let Some(mut file) = self.file.take() {
            let path = self.core.store.spool().path_of(&self.id);
            let synced = async {
                file.flush().await?;
                file.sync_all().await
            }
            .await;
            synced.map_err(|e| StoreError::io(&path, e))?;
        }
        Ok(NewJob {
            id: self.id.clone(),
            name,
            label,
            source,
            actor: caller.name.clone(),
            policy,
            audio: Audio::Spool,
            bytes: self.bytes,
            sha256: hex(&std::mem::take(&mut self.hash).finalize()),
            idempotency_key,
        })
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        if !self.is_handed_over {
            self.core.store.spool().remove(&self.id);
        }
    }
}

fn too_large(most: u64) -> Problem {
    let detail = format!("body: more than {most} bytes of audio (queue.max_upload_bytes)");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
}

fn form_problem(error: &axum::extract::multipart::MultipartError) -> Problem {
    use std::error::Error as _;
    let mut cause = error.source();
    while let Some(found) = cause {
        if found.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::TimedOut) {
            return Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", "body: came too slowly");
        }
        cause = found.source();
    }
    Problem::bad("form: ended early or is malformed")
}

/// A field that is not the file.
async fn short_text(mut field: Field<'_>, key: &str) -> Result<String> {
    const MOST_BYTES: usize = 2_048;
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(|e| form_problem(&e))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MOST_BYTES {
            return Err(Problem::bad("form: a field besides `file` is too long"));
        }
    }
    let value = String::from_utf8(bytes).map_err(|_| Problem::bad("form: a field besides `file` is not UTF-8"))?;
    if key == "file" { Err(Problem::bad("form: one `file` at a time")) } else { Ok(value) }
}
