//! Secrets, and the places besides the file that they come from.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

/// What is printed in place of a secret.
pub(super) const MASK: &str = "********";

/// A string that neither logs nor debug output show.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself: for keys and hashes, never for logs.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// `CLONEWATCH_…` variables and the service manager's credentials.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// By name.
    pub variables: BTreeMap<String, Secret>,
    /// `$CREDENTIALS_DIRECTORY`.
    pub credentials_dir: Option<PathBuf>,
}

impl Environment {
    /// What this process was started with.
    pub fn of_process() -> Self {
        let text = |value: std::ffi::OsString| value.into_string().ok();
        let ours = |(name, value)| Some((text(name).filter(|name| name.starts_with("CLONEWATCH_"))?, text(value)?));
        Self {
            variables: std::env::vars_os().filter_map(ours).map(|(name, value)| (name, Secret(value))).collect(),
            credentials_dir: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
        }
    }

    /// The secret `name`, such as `webhook-fraud-desk`: the variable `CLONEWATCH_WEBHOOK_FRAUD_DESK`, or else the
    /// credential `webhook-fraud-desk`.
    ///
    /// # Errors
    /// A credential that is there but cannot be read.
    pub fn secret(&self, name: &str) -> std::io::Result<Option<Secret>> {
        let variable = format!("CLONEWATCH_{}", name.to_ascii_uppercase().replace('-', "_"));
        if let Some(secret) = self.variables.get(&variable) {
            return Ok(Some(secret.clone()));
        }
        match self.credential(name).map(std::fs::read_to_string).transpose() {
            Ok(text) => Ok(text.map(|text| Secret(text.trim_end().to_owned()))),
            Err(e) => Err(e),
        }
    }

    /// Path of the credential `name`, where the service manager has laid one out: under that name, or as `secret_name`,
    /// which is what `LoadCredential=secret:FOLDER` makes of a file `name` in it.
    pub fn credential(&self, name: &str) -> Option<PathBuf> {
        let dir = self.credentials_dir.as_ref()?;
        [name.to_owned(), format!("secret_{name}")].into_iter().map(|name| dir.join(name)).find(|path| path.exists())
    }
}
