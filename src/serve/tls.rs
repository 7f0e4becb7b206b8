//! TLS for TCP: certificate and key from PEM files, and client certificates where they are asked for.

use std::{path::Path, sync::Arc};

use tokio_rustls::rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

use crate::{
    config::Tls,
    error::{Error, Result},
};

/// The server's side as `tls` describes it.
///
/// # Errors
/// [`Error::Config`] naming the file that cannot be used.
pub(super) fn server_config(tls: &Tls) -> Result<Arc<ServerConfig>> {
    let (Some(certificate), Some(key)) = (&tls.certificate, &tls.key) else {
        return Err(Error::Config("server.tls: certificate and key are needed".into()));
    };
    let chain = certificates(certificate)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|e| fault(key, e))?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::Fault(e.to_string()))?;
    let builder = match &tls.client_ca {
        None => builder.with_no_client_auth(),
        Some(authorities) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(authorities)? {
                roots.add(authority).map_err(|e| fault(authorities, e))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|e| fault(authorities, e))?)
        }
    };
    let mut config = builder.with_single_cert(chain, private).map_err(|e| fault(certificate, e))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>);
    let found = found.map_err(|e| fault(path, e))?;
    if found.is_empty() { Err(fault(path, "no certificate in it – expected PEM")) } else { Ok(found) }
}

fn fault(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::Config(format!("{}: {why}", path.display()))
}
