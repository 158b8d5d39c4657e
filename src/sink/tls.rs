//! TLS towards sinks: rustls with the ring provider named explicitly (so that no process-wide default is
//! needed), TLS 1.2 or newer, and either the operating system's authorities or exactly those of a file.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_platform_verifier::BuilderVerifierExt;

use super::plan::TlsFiles;
use crate::setup_error::SetupError;

/// For HTTP, whose client asks for the certificate of the URL's host: another name is asked for in its stead.
pub fn http_config(files: &TlsFiles) -> Result<ClientConfig, SetupError> {
    let mut config = client_config(files)?;
    if let Some(name) = &files.server_name {
        let name = ServerName::try_from(name.clone())
            .map_err(|_| SetupError::config(format!("server_name {name:?} is no name of a host")))?;
        let verifier = Arc::new(OtherName { name, verifier: verifier(files)? });
        config.dangerous().set_certificate_verifier(verifier);
    }
    Ok(config)
}

/// Whom `ca_file`, or the operating system, trusts.
fn verifier(files: &TlsFiles) -> Result<Arc<dyn ServerCertVerifier>, SetupError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let unusable = |err: String| SetupError::config(format!("TLS cannot be set up: {err}"));
    Ok(match &files.ca_file {
        Some(path) => WebPkiServerVerifier::builder_with_provider(Arc::new(roots(path)?), provider)
            .build()
            .map_err(|err| unusable(err.to_string()))?,
        None => Arc::new(
            rustls_platform_verifier::Verifier::new(provider).map_err(|err| unusable(err.to_string()))?,
        ),
    })
}

/// Verifies everything as usual, but for the name that the operator gave.
#[derive(Debug)]
struct OtherName {
    name: ServerName<'static>,
    verifier: Arc<dyn ServerCertVerifier>,
}

impl ServerCertVerifier for OtherName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _asked_for: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verifier.verify_server_cert(end_entity, intermediates, &self.name, ocsp, now)
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, cert, signed)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, cert, signed)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// Reads the files; nothing is read again later.
pub fn client_config(files: &TlsFiles) -> Result<ClientConfig, SetupError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let unusable = |err: rustls::Error| SetupError::config(format!("TLS cannot be set up: {err}"));
    let versions = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions() // 1.2 and 1.3
        .map_err(unusable)?;
    let verified = match &files.ca_file {
        Some(path) => versions.with_root_certificates(roots(path)?),
        None => versions.with_platform_verifier().map_err(|err| {
            SetupError::config(format!(
                "the operating system's certificate authorities cannot be used: {err}; install \
                 ca-certificates or name a ca_file"
            ))
        })?,
    };
    match (&files.cert_file, &files.key_file) {
        (Some(cert), Some(key)) => {
            verified.with_client_auth_cert(certificates(cert)?, private_key(key)?).map_err(|err| {
                SetupError::config(format!("{} and {} do not fit: {err}", cert.display(), key.display()))
            })
        }
        (None, None) => Ok(verified.with_no_client_auth()),
        _ => Err(SetupError::config("cert_file and key_file belong together: name both or neither")),
    }
}

fn roots(path: &Path) -> Result<RootCertStore, SetupError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path)? {
        store.add(certificate).map_err(|err| {
            SetupError::config(format!("{} holds a certificate that is no authority: {err}", path.display()))
        })?;
    }
    Ok(store)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let unreadable = |err: rustls::pki_types::pem::Error| {
        SetupError::config(format!("{} cannot be read: {err}", path.display()))
    };
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(unreadable)?
        .collect::<Result<_, _>>()
        .map_err(unreadable)?;
    if found.is_empty() {
        return Err(SetupError::config(format!("{} holds no certificate in PEM form", path.display())));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, SetupError> {
    PrivateKeyDer::from_pem_file(path).map_err(|err| {
        SetupError::config(format!(
            "{} holds no private key in PEM form that can be read: {err}",
            path.display()
        ))
    })
}
