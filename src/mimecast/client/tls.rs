//! What both clients trust.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

use crate::setup_error::SetupError;

/// TLS 1.2 or newer, the platform's certificate authorities and, if given, those of a file. Loading them is
/// costly: make one per `ca_file` and share it.
#[derive(Clone, Debug)]
pub struct Tls(Arc<ClientConfig>);

impl Tls {
    /// Errors: the file cannot be read or holds no certificate; no authority at all is found on a machine where
    /// one is needed (`needed`: the API is not on this machine).
    pub fn new(ca_file: Option<&Path>, needed: bool) -> Result<Self, SetupError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let own = ca_file.map_or(Ok(Vec::new()), certificates)?;
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| SetupError::failed(format!("failed to set up TLS: {error}")))?;
        let mut config = match Verifier::new_with_extra_roots(own, provider) {
            Ok(verifier) => {
                let verifier = Arc::new(verifier);
                builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
            }
            Err(error) if needed => {
                let text = format!(
                    "failed to load certificate authorities: {error}. Install the system's CA certificates \
                     (package ca-certificates) or name a `ca_file`"
                );
                return Err(SetupError::failed(text));
            }
            Err(_) => builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Tls(Arc::new(config)))
    }

    pub(super) fn config(&self) -> ClientConfig {
        ClientConfig::clone(&self.0)
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let place = file.display();
    let bytes = std::fs::read(file)
        .map_err(|error| SetupError::config(format!("failed to read the CA file {place}: {error}")))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(SetupError::config(format!("the CA file {place} holds no readable PEM certificate"))),
    }
}
