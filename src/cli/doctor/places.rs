//! Folders and files: whether they are there, whose they are, and how much room there is.

use std::{
    fs::{self, Metadata},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{Access, AtFlags, CWD, accessat, statvfs};

use super::Finding;
use crate::config::{Config, Watch};

/// Below this nothing can be accepted any more.
const LEAST_FREE_BYTES: u64 = 256 << 20;

pub(super) fn check(config: &Config) -> Vec<Finding> {
    let mut findings = vec![of_store(&config.store.dir)];
    findings.extend(of_room(config));
    findings.extend(config.watch.iter().map(of_watch));
    if let Some(tls) = &config.server.tls {
        findings.extend([("certificate", &tls.certificate), ("key", &tls.key)].into_iter().filter_map(of_tls));
    }
    findings
}

/// The state folder, or the one above that it will be made in.
fn of_store(dir: &Path) -> Finding {
    let shown = dir.display();
    match fs::metadata(dir) {
        Err(_) => {
            let above = existing(dir);
            if may(&above, Access::WRITE_OK) {
                Finding::ok("state", format!("{shown}: will be made at the first start"))
            } else {
                let what = format!("{shown}: missing, and {} may not be written by this user", above.display());
                let remedy = "start it as the service does (systemctl start clonewatch makes it), or set store.dir";
                Finding::warn("state", what, remedy)
            }
        }
        Ok(found) if !found.is_dir() => Finding::fail("state", format!("{shown}: is no folder"), "set store.dir"),
        Ok(found) if found.mode() & 0o077 != 0 => {
            let what = format!("{shown}: others may look into it (mode {:o})", found.mode() & 0o777);
            Finding::fail("state", what, format!("chmod 700 {shown}"))
        }
        Ok(_) if !may(dir, Access::WRITE_OK) => {
            let remedy = format!("run doctor as the daemon's user, or chown it: ls -ld {shown}");
            Finding::warn("state", format!("{shown}: may not be written by this user"), remedy)
        }
        Ok(_) => Finding::ok("state", format!("{shown}: private and writable")),
    }
}

/// Room for what the queue may hold.
fn of_room(config: &Config) -> Option<Finding> {
    let place = existing(&config.store.dir);
    let found = statvfs(&place).ok()?;
    let free_bytes = found.f_bavail.saturating_mul(found.f_frsize);
    let (free, place) = (in_words(free_bytes), place.display());
    let wanted_bytes = config.queue.max_bytes.saturating_add(LEAST_FREE_BYTES);
    Some(if free_bytes < LEAST_FREE_BYTES {
        Finding::fail("disk", format!("{place}: {free} free"), "make room: nothing more can be accepted")
    } else if free_bytes < wanted_bytes {
        let what = format!("{place}: {free} free, but queue.max_bytes lets {} wait", in_words(config.queue.max_bytes));
        Finding::warn("disk", what, "make room, or lower queue.max_bytes")
    } else {
        Finding::ok("disk", format!("{place}: {free} free"))
    })
}

fn of_watch(watch: &Watch) -> Finding {
    let (name, dir) = (&watch.name, watch.dir.display());
    let needed = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    match fs::metadata(&watch.dir) {
        Err(error) => {
            Finding::fail("watch", format!("{name}: {dir}: {error}"), format!("mkdir -p {dir}, or correct watch.dir"))
        }
        Ok(found) if !found.is_dir() => {
            Finding::fail("watch", format!("{name}: {dir}: is no folder"), "correct watch.dir")
        }
        Ok(_) if !may(&watch.dir, needed) => {
            let what = format!("{name}: {dir}: this user may not read and write there");
            let remedy = "for the service, a drop-in with ReadWritePaths= and SupplementaryGroups=; and see ls -ld";
            Finding::warn("watch", what, remedy)
        }
        Ok(_) => Finding::ok("watch", format!("{name}: {dir}: readable and writable")),
    }
}

/// Certificate and key must be there; the key must be its owner's alone.
fn of_tls((name, path): (&str, &Option<PathBuf>)) -> Option<Finding> {
    let path = path.as_ref()?;
    let shown = path.display();
    Some(match fs::metadata(path) {
        Err(error) => {
            let remedy = format!("correct server.tls.{name}, or use the credential tls-{name}");
            Finding::fail("tls", format!("{shown}: {error}"), remedy)
        }
        Ok(found) if name == "key" && is_open(&found) => {
            Finding::fail("tls", format!("{shown}: others may read the key"), format!("chmod 600 {shown}"))
        }
        Ok(_) => Finding::ok("tls", format!("{name} {shown}: is there")),
    })
}

fn is_open(found: &Metadata) -> bool {
    found.permissions().mode() & 0o077 != 0
}

/// The nearest folder above that exists.
fn existing(path: &Path) -> PathBuf {
    path.ancestors().find(|above| above.exists()).unwrap_or(Path::new("/")).to_owned()
}

fn may(path: &Path, access: Access) -> bool {
    accessat(CWD, path, access, AtFlags::EACCESS).is_ok()
}

fn in_words(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}
