//! `[policies.NAME]`: thresholds and actions under a name.

use std::collections::BTreeMap;

use super::{Faults, PLAIN_NAME, is_plain_name};
use crate::policy::PolicyRules;

/// The policy that the model brings.
pub const DEFAULT_POLICY: &str = "default";

pub(super) fn check(policies: &BTreeMap<String, PolicyRules>, faults: &mut Faults) {
    for (name, rules) in policies {
        let key = format!("policies.{name}");
        if !is_plain_name(name) {
            faults.add(&key, name, PLAIN_NAME);
        }
        if name == DEFAULT_POLICY {
            // Results that name `default` must mean the model's own thresholds wherever they come from.
            faults.add(&key, name, "another name: `default` is what the model brings; see default_policy");
        }
        if let Some(id) = rules.id.as_ref().filter(|id| *id != name) {
            faults.add(&format!("{key}.id"), id, "left out here: the section's name is the id");
        }
    }
}
