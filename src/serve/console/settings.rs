//! Settings: policies, tokens and receivers as they are in force, and events that were given up. Pure but for [`Facts::gather`].

use std::sync::Arc;

use maud::{Markup, html};

use super::layout::{notice, time};
use crate::{
    cli::render::{decision_key, printable},
    policy::Action,
    report::signed,
    serve::{
        core::Core,
        in_force::{InForce, SYSLOG},
    },
    store::{
        self,
        outbox::{self, Delivery, Standing},
    },
};

/// Dead events that are listed.
const MOST_DEAD: u32 = 50;

/// All that the page shows.
pub(super) struct Facts {
    in_force: Arc<InForce>,
    /// By receiver, in the configuration's order.
    receivers: Vec<(String, Standing)>,
    dead: Vec<Delivery>,
}

impl Facts {
    /// What is so now.
    pub(super) async fn gather(core: &Core) -> store::Result<Self> {
        let in_force = core.in_force();
        let config = &in_force.config;
        let mut names: Vec<String> = config.webhooks.iter().map(|webhook| webhook.name.clone()).collect();
        names.extend(config.syslog.as_ref().map(|_| SYSLOG.to_owned()));
        let read = core.store.read(move |c| {
            let standing = |name: String| Ok((name.clone(), outbox::standing(c, &name)?));
            let receivers = names.into_iter().map(standing).collect::<store::Result<Vec<_>>>()?;
            Ok((receivers, outbox::dead(c, 0, MOST_DEAD)?))
        });
        let (receivers, dead) = read.await?;
        Ok(Self { in_force, receivers, dead })
    }
}

/// What an admin may press; each makes a whole form around its button.
pub(super) struct Forms<'a> {
    /// Reload the configuration.
    pub(super) reload: Markup,
    /// Send one event again.
    pub(super) send_again: &'a dyn Fn(i64) -> Markup,
    /// Send all of them again.
    pub(super) send_all: Markup,
}

/// The page's content; `told` is what came of what was pressed, `forms` is `None` for those who may not change anything.
pub(super) fn content(facts: &Facts, forms: Option<&Forms<'_>>, told: Option<&str>) -> Markup {
    html! {
        h1 { "Settings" }
        @if let Some(told) = told { (notice(told)) }
        p {
            "What is in force now. It is changed in the configuration file on the daemon's machine, and taken up by "
            code { "systemctl reload clonewatch" }
            @if forms.is_some() { " or here. A file with a fault changes nothing." } @else { "; whoever has the scope admin can do that here too." }
        }
        @if let Some(forms) = forms { (forms.reload) }
        section aria-labelledby="policies" { h2 #policies { "Policies" } (policies(&facts.in_force)) }
        section aria-labelledby="tokens" { h2 #tokens { "Tokens" } (tokens(&facts.in_force)) }
        section aria-labelledby="receivers" { h2 #receivers { "Webhooks and syslog" } (receivers(facts)) }
        section aria-labelledby="dead" { h2 #dead { "Events given up" } (dead(facts, forms)) }
    }
}

fn scrolled(label: &str, table: &Markup) -> Markup {
    html! { div.scroll.plain role="region" aria-label=(label) tabindex="0" { (table) } }
}

fn policies(in_force: &InForce) -> Markup {
    let rows = html! {
        @for (name, named) in in_force.policies() {
            @let (policy, thresholds) = (&named.policy, &named.policy.thresholds);
            tr {
                th scope="row" {
                    (printable(name))
                    @if *name == in_force.config.default_policy { br; span.note { "for whoever names none" } }
                }
                td.number {
                    (signed(thresholds.spoof_below))
                    br; span.note { "denoised " (signed(thresholds.denoised.spoof_below)) }
                    br; span.note {
                        "passage " (signed(thresholds.insert.spoof_below)) ", added up " (signed(thresholds.insert.sum_below))
                    }
                }
                td.number { (signed(thresholds.bona_fide_above)) }
                td.number { (thresholds.min_speech_secs) " s" }
                td {
                    (action(policy.actions.spoof)) " / " (action(policy.actions.inconclusive)) " / "
                    (action(policy.actions.bona_fide))
                }
                td.hash { span title=(named.sha256) { (named.sha256.get(..8).unwrap_or_default()) "…" } }
            }
        }
    };
    scrolled(
        "Policies",
        &html! {
            table {
                thead { tr {
                    th scope="col" { "Name" } th.number scope="col" { "Cloned below" } th.number scope="col" { "Genuine from" }
                    th.number scope="col" { "Least speech" } th scope="col" { "Cloned / inconclusive / genuine" } th scope="col" { "SHA-256" }
                } }
                tbody { (rows) }
            }
        },
    )
}

fn action(action: Action) -> String {
    let name = serde_json::to_value(action).ok();
    name.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default().replace('_', " ")
}

fn tokens(in_force: &InForce) -> Markup {
    let config = &in_force.config;
    html! {
        @if config.tokens.is_empty() {
            p.note { "None: only this machine's Unix socket is open." }
        } @else {
            (scrolled("Tokens", &html! {
                table {
                    thead { tr { th scope="col" { "Name" } th scope="col" { "May" } th scope="col" { "Policy" } } }
                    tbody {
                        @for token in &config.tokens {
                            @let scopes: Vec<String> = token.scopes.iter().map(ToString::to_string).collect();
                            tr {
                                th scope="row" { (printable(&token.name)) }
                                td { (scopes.join(", ")) }
                                td { (printable(token.policy.as_deref().unwrap_or(&config.default_policy))) }
                            }
                        }
                    }
                }
            }))
        }
        p.note { "A new one is made by " code { "clonewatch token new NAME --scope read" } "; neither tokens nor their hashes are shown here." }
    }
}

fn receivers(facts: &Facts) -> Markup {
    let config = &facts.in_force.config;
    let of = |name: &str| config.webhooks.iter().find(|webhook| webhook.name == name);
    html! {
        @if facts.receivers.is_empty() {
            p.note { "None: sections [[webhooks]] and [syslog] of the configuration name them." }
        } @else {
            (scrolled("Receivers", &html! {
                table {
                    thead { tr {
                        th scope="col" { "Name" } th scope="col" { "Address and events" } th scope="col" { "Last delivery" }
                        th.number scope="col" { "Waiting" } th.number scope="col" { "Given up" } th scope="col" { "Last failure" }
                    } }
                    tbody {
                        @for (name, standing) in &facts.receivers {
                            tr {
                                th scope="row" { (printable(name.trim_matches(['(', ')']))) }
                                td.wrap { @if let Some(webhook) = of(name) {
                                    (printable(origin(&webhook.url)))
                                    br;
                                    @let events: Vec<&str> = webhook.events.iter().map(|event| event.key()).collect();
                                    @let decisions: Vec<&str> = webhook.decisions.iter().map(|d| decision_key(*d)).collect();
                                    span.note {
                                        (events.join(", "))
                                        @if !decisions.is_empty() { "; only " (decisions.join(", ")) }
                                    }
                                } }
                                td.time { @match standing.last_delivered_at { Some(at) => (time(at)), None => "none yet" } }
                                td.number { (standing.pending) }
                                td.number { (standing.dead) }
                                td.wrap { (printable(standing.last_error.as_deref().unwrap_or("–"))) }
                            }
                        }
                    }
                }
            }))
        }
    }
}

/// Scheme and host: paths and queries of webhooks often hold secrets.
fn origin(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url.get(start..).and_then(|rest| rest.find(['/', '?', '#'])).map_or(url.len(), |at| start + at);
    url.get(..end).unwrap_or_default()
}

fn dead(facts: &Facts, forms: Option<&Forms<'_>>) -> Markup {
    html! {
        @if facts.dead.is_empty() {
            p.note { "None." }
        } @else {
            p { "These were tried as often as the configuration says." @if forms.is_none() { " Whoever has the scope admin can send them again." } }
            @if let Some(forms) = forms { (forms.send_all) }
            (scrolled("Events given up", &html! {
                table {
                    thead { tr {
                        th.number scope="col" { "Number" } th scope="col" { "Since" } th scope="col" { "Receiver" } th scope="col" { "Event" }
                        th scope="col" { "Why" } @if forms.is_some() { th scope="col" { "Again" } }
                    } }
                    tbody {
                        @for event in &facts.dead {
                            tr {
                                td.number { (event.seq) }
                                td.time { (time(event.created_at)) }
                                td { (printable(event.endpoint.trim_matches(['(', ')']))) }
                                td { (event.kind) br; a href=(format!("/console/scans/{}", event.job)) { (event.job.as_str().get(..8).unwrap_or_default()) "…" } }
                                td.wrap { (printable(event.error.as_deref().unwrap_or_default())) ", after " (event.attempts) @if event.attempts == 1 { " attempt" } @else { " attempts" } }
                                @if let Some(forms) = forms { td { ((forms.send_again)(event.seq)) } }
                            }
                        }
                    }
                }
            }))
            @if facts.dead.len() == MOST_DEAD as usize { p.note { "The newest " (MOST_DEAD) "; " code { "clonewatch webhook dead" } " lists all." } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::origin;

    #[test]
    fn addresses_are_shown_without_what_may_be_secret() {
        for (url, shown) in [
            ("https://hooks.example.com/services/T0/B0/secret", "https://hooks.example.com"),
            ("https://example.com:8443?token=secret", "https://example.com:8443"),
            ("http://127.0.0.1", "http://127.0.0.1"),
        ] {
            assert_eq!(origin(url), shown);
        }
    }
}
