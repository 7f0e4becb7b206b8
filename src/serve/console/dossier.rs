//! All that is known of one scan, put together from the store for its page and its report.

use super::refusal::Result;
use crate::{
    config::DEFAULT_POLICY,
    decode::Tags,
    report::{Basis, Exhibits, Shown},
    scan::{ScanResult, Screening},
    serve::{
        core::Core,
        http::{auth::Caller, scans::visible},
        in_force::InForce,
    },
    store::{
        Job, JobId, StoreError,
        calls::{self, KeptCall},
        portraits::{self, Outline},
        verdicts::{self, StoredEvidence},
    },
};

/// A scan with what it was judged from.
pub(super) struct Dossier {
    /// As it stands.
    pub(super) job: Job,
    /// The latest verdict with its evidence; `None` where there is no verdict yet.
    pub(super) judged: Option<Judged>,
    /// Pictures by their addresses, and tags.
    pub(super) exhibits: Exhibits,
    /// What is kept of the call that it was, if it was one.
    pub(super) call: Option<KeptCall>,
}

/// Whether it is a call, of which no audio is kept.
pub(super) fn is_call(job: &Job) -> bool {
    job.source.starts_with("live:")
}

/// A verdict as it is shown.
pub(super) struct Judged {
    pub(super) result: ScanResult,
    pub(super) basis: Basis,
    /// What has changed since it was judged.
    pub(super) changes: Vec<String>,
}

struct Stored {
    evidence: Option<StoredEvidence>,
    judged_by: Option<[String; 3]>,
    outlines: Vec<Outline>,
    tags: Option<Tags>,
    call: Option<KeptCall>,
}

impl Dossier {
    /// The dossier of scan `id`, where the caller may see it.
    pub(super) async fn load(core: &Core, caller: &Caller, id: &JobId) -> Result<Self> {
        let job = visible(core, caller, id).await?;
        let (wanted, is_call) = (id.clone(), is_call(&job));
        let read = core.store.read(move |c| {
            Ok(Stored {
                evidence: verdicts::evidence(c, &wanted)?,
                judged_by: verdicts::judged_by(c, &wanted)?,
                outlines: portraits::outlines(c, &wanted)?,
                tags: portraits::tags(c, &wanted)?,
                call: if is_call { calls::get(c, &wanted)? } else { None },
            })
        });
        let stored = read.await?;
        let judged = match (stored.evidence, stored.judged_by) {
            (Some(evidence), Some(judged_by)) => Some(Judged::of(&core.in_force(), &job, &evidence, judged_by)?),
            _ => None,
        };
        let shown = |outline: &Outline| {
            let href = format!("/console/scans/{id}/pictures/{}", outline.channel);
            (outline.channel, Shown { href, top_hz: outline.top_hz, end_secs: outline.end_secs })
        };
        let pictures = stored.outlines.iter().map(shown).collect();
        let parties = stored.call.as_ref().map_or_else(Vec::new, KeptCall::parties);
        let exhibits = Exhibits { pictures, tags: stored.tags, parties };
        Ok(Self { job, judged, exhibits, call: stored.call })
    }
}

impl Judged {
    /// Judges the evidence as it was judged, or as near to that as what is in force now allows, and says where it differs.
    fn of(in_force: &InForce, job: &Job, stored: &StoredEvidence, judged_by: [String; 3]) -> Result<Self> {
        let [policy_sha256, model_id, model_sha256] = judged_by;
        let screening: Screening =
            serde_json::from_slice(&stored.evidence).map_err(|e| StoreError::Evidence(e.to_string()))?;
        let mut changes = Vec::new();
        let named = in_force.policy(&job.policy);
        if named.is_none() {
            changes.push(format!("The policy {} is gone: thresholds are those of {DEFAULT_POLICY}.", job.policy));
        } else if named.is_some_and(|named| named.sha256 != policy_sha256) {
            changes.push(format!("The policy {} has changed since: thresholds are those of today.", job.policy));
        }
        let named = named.or_else(|| in_force.policy(DEFAULT_POLICY)).expect("the policy `default` always exists");
        let mut basis = Basis::of(&in_force.engine.model, &named.policy);
        if basis.provenance.model_sha256 != model_sha256 {
            changes.push("Another model is in force now: its error rates are not this one's.".into());
            basis.without_figures();
            (basis.provenance.model_id, basis.provenance.model_sha256) = (model_id, model_sha256);
        }
        let result = screening.judge(&named.policy);
        if let Some(decision) = job.decision.filter(|decision| *decision != result.decision) {
            let words = crate::report::Tone::of(decision).of_file();
            changes.push(format!("It was decided then: {words}. Judge it again to have it decided anew."));
        }
        Ok(Self { result, basis, changes })
    }
}
