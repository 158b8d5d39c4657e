//! Receivers for the tests: listeners on loopback that behave as they are told, and a certificate authority.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Batch;
use super::plan::TlsFiles;
use crate::event::EventId;

/// What receivers got, over all connections.
pub type Got = Arc<Mutex<Vec<u8>>>;

/// Hands the `n`th connection (from 0) to `behave`.
pub async fn listen<F>(behave: impl Fn(usize, TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for n in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(behave(n, stream));
        }
    });
    address
}

/// Reads until the peer ends its side; false if it did so otherwise than properly.
pub async fn read_all(stream: &mut (impl AsyncRead + Unpin), got: &Got) -> bool {
    let mut space = vec![0; 64 << 10];
    loop {
        match stream.read(&mut space).await {
            Ok(0) => return true,
            Ok(n) => got.lock().unwrap().extend_from_slice(&space[..n]),
            Err(_) => return false,
        }
    }
}

/// `count` events, each a line of JSON with `len` bytes of padding.
pub fn batch(count: usize, len: usize) -> Batch {
    let mut batch = Batch::default();
    for n in 0..count {
        let line = format!("{{\"n\":{n},\"pad\":\"{}\"}}\n", "x".repeat(len));
        assert!(batch.push(EventId([n as u8; 16]), |out| out.extend_from_slice(line.as_bytes())));
    }
    batch
}

/// An authority with a server (`localhost`, `127.0.0.1`) and a client certificate, as files.
pub struct Pki {
    folder: tempfile::TempDir,
}

impl Pki {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
        for (name, hosts) in
            [("server", vec!["localhost".to_owned(), "127.0.0.1".to_owned()]), ("client", vec![])]
        {
            let key = KeyPair::generate().unwrap();
            let cert = CertificateParams::new(hosts).unwrap().signed_by(&key, &ca).unwrap();
            std::fs::write(folder.path().join(format!("{name}.pem")), cert.pem()).unwrap();
            std::fs::write(folder.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
        }
        Pki { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What a sink needs to trust the server.
    pub fn files(&self) -> TlsFiles {
        TlsFiles { ca_file: Some(self.path("ca.pem")), ..TlsFiles::default() }
    }

    /// And to be trusted by it.
    pub fn files_with_client(&self) -> TlsFiles {
        TlsFiles {
            cert_file: Some(self.path("client.pem")),
            key_file: Some(self.path("client.key")),
            ..self.files()
        }
    }

    pub fn server(&self, wants_client: bool, version: &'static rustls::SupportedProtocolVersion) -> Server {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[version]).unwrap();
        let certificate = |name: &str| CertificateDer::from_pem_file(self.path(name)).unwrap();
        let builder = if wants_client {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(certificate("ca.pem")).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::from_pem_file(self.path("server.key")).unwrap();
        let config = builder.with_single_cert(vec![certificate("server.pem")], key).unwrap();
        Server(TlsAcceptor::from(Arc::new(config)))
    }
}

/// The TLS side of a receiver.
#[derive(Clone)]
pub struct Server(TlsAcceptor);

impl Server {
    pub async fn accept(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        self.0.accept(stream).await.ok()
    }
}
