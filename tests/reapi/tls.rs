//! Servers that prove who they are and want to know who asks: certificates, tokens and headers, as
//! settings name them.

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use proto::capabilities_server::CapabilitiesServer;
use pynbox_build::remote::reapi::engine::EngineSection;
use pynbox_build::remote::reapi::{Channel, Endpoint, ReapiError};
use pynbox_build::remote::settings::{RemotePlace, RemoteSettings};
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Code, Request, Status};

use crate::own;
use testing::certificates::Authority;

/// A server with a certificate of `authority`, which lets in whom `clients` vouches for, if it is
/// there, and who shows what `shown` says.
fn serve(
    authority: &Authority,
    clients: Option<&Authority>,
    shown: Option<(&'static str, String)>,
) -> (tokio::runtime::Runtime, String) {
    let (certificate, key) = authority.issue();
    let mut tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
    if let Some(clients) = clients {
        tls = tls.client_ca_root(Certificate::from_pem(&clients.pem));
    }
    let check = move |request: Request<()>| match &shown {
        Some((name, value)) if request.metadata().get(*name).is_none_or(|shown| shown != value.as_str()) => {
            Err(Status::unauthenticated("who are you?"))
        }
        _ => Ok(request),
    };
    let functions = vec![proto::digest_function::Value::Sha256 as i32];
    let cache = own::cache(proto::CacheCapabilities { digest_functions: functions, ..Default::default() });
    let service = CapabilitiesServer::with_interceptor(cache, check);
    let (runtime, endpoint) = own::serve(Server::builder().tls_config(tls).unwrap().add_service(service));
    (runtime, endpoint.url.replace("grpc://", "grpcs://"))
}

struct Room {
    folder: tempfile::TempDir,
}

impl Room {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// What comes of asking a server, as an engine and as a remote with these settings.
    fn ask(&self, url: &str, settings: &str) -> Result<(), ReapiError> {
        let text = format!("name = 'farm'\nurl = '{url}'\n{settings}");
        let engine: EngineSection = toml::from_str(&text).unwrap();
        let by_engine = engine
            .settings(self.folder.path())
            .map_err(|error| ReapiError::Settings(error.to_string()))
            .and_then(|engine| ask(engine.endpoint));
        let remote: RemoteSettings = toml::from_str(&text).unwrap();
        let RemotePlace::Grpc(place) = remote.place(self.folder.path()).unwrap() else { panic!() };
        let access = remote.access(self.folder.path()).map_err(|error| ReapiError::Settings(error.to_string()));
        let by_remote = access.and_then(|access| ask(Endpoint::of_remote(&place, &remote, access)));
        assert_eq!(by_engine.is_ok(), by_remote.is_ok(), "{by_engine:?}, {by_remote:?}");
        by_remote
    }
}

fn ask(endpoint: Endpoint) -> Result<(), ReapiError> {
    Channel::new(Endpoint { attempts: 1, ..endpoint })?.capabilities().map(drop)
}

#[test]
fn a_server_is_believed_whom_the_right_authority_vouches_for() {
    let room = Room::new();
    let (authority, stranger) = (Authority::new(), Authority::new());
    authority.write(room.folder.path(), "right");
    stranger.write(room.folder.path(), "wrong");
    let (_runtime, url) = serve(&authority, None, None);
    room.ask(&url, "tls.ca = 'right.pem'").unwrap();
    for settings in ["", "tls.ca = 'wrong.pem'"] {
        let error = room.ask(&url, settings).unwrap_err().to_string();
        assert!(error.contains(&url) && error.contains("invalid peer certificate"), "{settings}: {error}");
    }
    // TLS where there is none, and none where there is.
    let error = room.ask(&url.replace("grpcs", "grpc"), "").unwrap_err();
    assert!(matches!(error, ReapiError::Call { .. }), "{error}");
    let error = room.ask(&url, "tls.ca = 'absent.pem'").unwrap_err().to_string();
    assert!(error.contains("absent.pem`: No such file"), "{error}");
}

#[test]
fn a_server_may_want_a_certificate() {
    let room = Room::new();
    let (authority, clients) = (Authority::new(), Authority::new());
    authority.write(room.folder.path(), "server");
    clients.write(room.folder.path(), "client");
    let (_runtime, url) = serve(&authority, Some(&clients), None);
    let with = |certificate: &str, key: &str| {
        format!("[tls]\nca = 'server.pem'\ncertificate = '{certificate}'\nkey = '{key}'\n")
    };
    room.ask(&url, &with("client-shown.pem", "client-key.pem")).unwrap();
    // None, a stranger's, and one with another's key.
    for settings in [
        "tls.ca = 'server.pem'".to_owned(),
        with("server-shown.pem", "server-key.pem"),
        with("client-shown.pem", "server-key.pem"),
    ] {
        let error = room.ask(&url, &settings).unwrap_err().to_string();
        assert!(error.contains(&url), "{settings}: {error}");
    }
    let error = room.ask(&url, "tls.certificate = 'client-shown.pem'").unwrap_err().to_string();
    assert!(error.contains("together"), "{error}");
    let error = room.ask(&url, &with("client-key.pem", "client-shown.pem")).unwrap_err().to_string();
    assert!(error.contains("client-key.pem` holds no certificate"), "{error}");
}

#[test]
fn a_server_may_want_a_token_or_a_header() {
    // What every process here has.
    let home = std::env::var("PATH").unwrap();
    let room = Room::new();
    let authority = Authority::new();
    authority.write(room.folder.path(), "ca");
    let ca = "tls.ca = 'ca.pem'\n";
    let (_runtime, url) = serve(&authority, None, Some(("authorization", format!("Bearer {home}"))));
    room.ask(&url, &format!("{ca}token-variable = 'PATH'")).unwrap();
    for settings in ["", "token-variable = 'CARGO_MANIFEST_DIR'"] {
        let error = room.ask(&url, &format!("{ca}{settings}")).unwrap_err();
        assert!(matches!(error, ReapiError::Call { code: Code::Unauthenticated, .. }), "{settings}: {error}");
        assert!(error.to_string().contains("who are you?"), "{error}");
    }
    let error = room.ask(&url, &format!("{ca}token-variable = 'PYNBOX_TEST_NO_SUCH'")).unwrap_err().to_string();
    assert!(error.contains("`PYNBOX_TEST_NO_SUCH`, which the settings name, is not set"), "{error}");
    let (_runtime, url) = serve(&authority, None, Some(("x-api-key", home)));
    room.ask(&url, &format!("{ca}header-variables = {{ X-Api-Key = 'PATH' }}")).unwrap();
    assert!(room.ask(&url, ca).is_err());
}
