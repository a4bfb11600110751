//! The daemon: how it is reached, and what its errors mean to a user.

use std::io;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use namespaces::ExecutorError;
use support::environment;

/// Docker 19.03: the first whose containers can do without masked paths, and the oldest that
/// anybody keeps up.
const OLDEST: (usize, usize) = (1, 40);
/// Loading a large image is one request.
const LONGEST_REQUEST: Duration = Duration::from_secs(30 * 60);
/// How long a daemon may take to say who it is.
const FIRST_ANSWER: Duration = Duration::from_secs(20);

/// A daemon that answered.
pub(super) struct Daemon {
    pub(super) docker: Docker,
    /// As a user names it.
    pub(super) address: String,
    /// Its own name for itself, the same for everybody.
    pub(super) id: String,
    /// The memory of its machine, in bytes.
    pub(super) memory: i64,
}

impl Daemon {
    pub(super) async fn connect() -> Result<Self, ExecutorError> {
        let address = environment::text("DOCKER_HOST").map_err(|error| ExecutorError::Environment {
            doing: "reaching the Docker daemon".to_owned(),
            source: io::Error::other(error),
            hint: "its form is `unix://PATH` or `tcp://HOST:PORT`".to_owned(),
        })?;
        let address = address.unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned());
        let absent = |error| failed(&address, "reaching the Docker daemon", error);
        let docker = Docker::connect_with_host(&address).map_err(absent)?.with_timeout(LONGEST_REQUEST);
        let first = async {
            let docker = docker.negotiate_version().await?;
            let info = docker.info().await?;
            Ok((docker, info))
        };
        let late = |_| failed(&address, "reaching the Docker daemon", Error::RequestTimeoutError);
        let (docker, info) = tokio::time::timeout(FIRST_ANSWER, first).await.map_err(late)?.map_err(absent)?;
        let version = docker.client_version();
        let version = (version.major_version, version.minor_version);
        if version < OLDEST {
            return Err(ExecutorError::Environment {
                doing: format!("reaching the Docker daemon at `{address}`"),
                source: io::Error::other(format!(
                    "it is too old: its API is {}.{}, and {}.{} is the oldest that will do",
                    version.0, version.1, OLDEST.0, OLDEST.1
                )),
                hint: "install Docker 19.03 or newer".to_owned(),
            });
        }
        if info.os_type.as_deref().is_some_and(|os| os != "linux")
            || info.architecture.as_deref().is_some_and(|architecture| architecture != "x86_64")
        {
            return Err(ExecutorError::Environment {
                doing: format!("using the Docker daemon at `{address}`"),
                source: io::Error::other("its containers are not those of Linux on x86-64"),
                hint: "name another with `DOCKER_HOST`".to_owned(),
            });
        }
        Ok(Self { docker, address, id: info.id.unwrap_or_default(), memory: info.mem_total.unwrap_or(0) })
    }

    pub(super) fn failed(&self, doing: &str, error: Error) -> ExecutorError {
        failed(&self.address, doing, error)
    }

    /// Makes the error for a stream to a container that ended too early.
    pub(super) fn broken(&self, doing: &str, what: impl Into<String>) -> ExecutorError {
        ExecutorError::Environment {
            doing: format!("{doing} at `{}`", self.address),
            source: io::Error::other(what.into()),
            hint: "nothing was kept of the action; see the daemon's log, and start the build again".to_owned(),
        }
    }
}

/// Whether the daemon says that the object does not exist.
pub(super) fn is_missing(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 404, .. })
}

fn failed(address: &str, doing: &str, error: Error) -> ExecutorError {
    let (text, hint) = match error {
        Error::DockerResponseServerError { status_code, message } => {
            (format!("the daemon says: {message} ({status_code})"), "see the daemon's log")
        }
        Error::RequestTimeoutError => ("it did not answer in time".to_owned(), "see the daemon's log"),
        Error::UnsupportedURISchemeError { uri } => {
            (format!("`{uri}` is no address of a daemon"), "set `DOCKER_HOST` to `unix://PATH` or `tcp://HOST:PORT`")
        }
        other => (
            chain(&other),
            "start the daemon (`systemctl start docker`), name another with `DOCKER_HOST`, be in the group `docker`, or choose \
             `--executor namespace`",
        ),
    };
    ExecutorError::Environment {
        doing: format!("{doing} at `{address}`"),
        source: io::Error::other(text),
        hint: hint.to_owned(),
    }
}

/// Joins an error and its causes to one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let next_text = next.to_string();
        if !text.contains(&next_text) {
            text = format!("{text}: {next_text}");
        }
        cause = next.source();
    }
    text
}
