//! Real dependencies for integration tests: one PostgreSQL cluster and one AWS emulator for each test process,
//! and in them a database, buckets and queues of its own for each test.
//!
//! Both end with the process that started them, even when it is killed: a shell between them waits for the end
//! of its standard input. What is missing on the machine is a panic that says how to get it; no test is
//! skipped.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::{
    config::Credentials,
    types::{BucketVersioningStatus, VersioningConfiguration},
};
use sqlx::{Connection, PgConnection};
use std::{
    env,
    fs::{self, Permissions},
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use uuid::Uuid;

/// How long a dependency may take to start on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// Runs a command in the background until standard input ends, or until a signal to all of this process group, such as
/// Ctrl-C, which ends `cat`. Then it ends the command and clears its directory away.
const KEEPER: &str = r#"
dir=$1; shift
trap : HUP INT TERM
"$@" </dev/null >"$dir/log" 2>&1 &
cat >/dev/null
kill -INT $!
wait $!
rm -rf "$dir"
"#;

/// A process that ends when the handle is closed, which the end of this process does too.
struct Kept {
    directory: PathBuf,
    shell: Child,
    _standard_input: ChildStdin,
}

impl Kept {
    fn start(directory: TempDir, command: &Command) -> Self {
        let directory = directory.keep();
        let mut shell = Command::new("sh");
        shell.args(["-c", KEEPER, "sh"]).arg(&directory).arg(command.get_program()).args(command.get_args());
        shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut shell = shell.spawn().expect("a shell");
        let standard_input = shell.stdin.take().expect("standard input was asked for");
        Self { directory, shell, _standard_input: standard_input }
    }

    fn wait_until(mut self, what: &str, ready: impl Fn() -> bool) -> Self {
        let start = Instant::now();
        while !ready() {
            let log = || fs::read_to_string(self.directory.join("log")).unwrap_or_default();
            assert!(start.elapsed() < START_DEADLINE, "{what} did not start in time:\n{}", log());
            let ended = self.shell.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "{what} ended:\n{}", log());
            thread::sleep(Duration::from_millis(20));
        }
        self
    }
}

/// The URL of a new, empty database.
///
/// # Panics
/// Where PostgreSQL is not installed or does not start.
pub async fn database() -> String {
    static CLUSTER: OnceLock<Kept> = OnceLock::new();
    let socket = CLUSTER
        .get_or_init(|| start_postgres(5432, |_| vec!["listen_addresses=".to_owned()]))
        .directory
        .display()
        .to_string();
    let url = |name: &str| format!("postgres://postgres@localhost/{name}?host={socket}");
    let name = format!("test_{}", Uuid::new_v4().simple());
    let mut connection = PgConnection::connect(&url("postgres")).await.expect("the cluster has started");
    sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(&mut connection)
        .await
        .expect("a new database");
    url(&name)
}

/// A PostgreSQL of the caller's own on a free port of 127.0.0.1, which asks for passwords there, writes each
/// statement to its log, and takes any user at its word on its socket.
pub struct Postgres {
    kept: Kept,
    /// Its port.
    pub port: u16,
}

impl Postgres {
    /// Starts one: with that certificate and key, both in PEM, it admits TLS only.
    ///
    /// # Panics
    /// Where PostgreSQL is not installed or does not start.
    #[must_use]
    pub fn start(tls: Option<(&str, &str)>) -> Self {
        let port = free_port();
        let mut settings = vec![
            "listen_addresses=127.0.0.1".to_owned(),
            "log_statement=all".to_owned(),
            "log_connections=on".to_owned(),
            "log_min_messages=debug1".to_owned(),
        ];
        let kept = start_postgres(port, |data| {
            let host = if tls.is_some() { "hostssl" } else { "host" };
            let rules = format!("local all all trust\n{host} all all 127.0.0.1/32 scram-sha-256\n");
            fs::write(data.join("pg_hba.conf"), rules).expect("a directory that can be written");
            let Some((certificate, key)) = tls else { return settings };
            for (name, content) in [("server.crt", certificate), ("server.key", key)] {
                let path = data.join(name);
                fs::write(&path, content).expect("a directory that can be written");
                fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("a file of our own");
                give_to_postgres(&path);
            }
            settings.push("ssl=on".to_owned());
            settings
        });
        Self { kept, port }
    }

    /// URL of a database for any user, without a password.
    #[must_use]
    pub fn trusted_url(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@localhost:{}/{database}?host={}", self.port, self.kept.directory.display())
    }

    /// What it has logged so far.
    ///
    /// # Panics
    /// Where the log can't be read.
    #[must_use]
    pub fn log(&self) -> String {
        let log = fs::read(self.kept.directory.join("log")).expect("a log");
        String::from_utf8_lossy(&log).into_owned()
    }
}

/// PostgreSQL refuses to run as root, so where we are root it has a user of its own.
fn give_to_postgres(path: &Path) {
    if is_root() {
        let given = Command::new("chown").arg("postgres:").arg(path).status();
        assert!(given.is_ok_and(|s| s.success()), "chown of {} to postgres", path.display());
    }
}

/// Starts a server on a new cluster; `prepare` may write into its directory and names its settings.
fn start_postgres(port: u16, prepare: impl FnOnce(&Path) -> Vec<String>) -> Kept {
    let binaries = postgres_binaries();
    let directory = TempDir::with_prefix("postgres-").expect("a temporary directory");
    let as_postgres = |program: &str| {
        let program = binaries.join(program);
        if !is_root() {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(program);
        command
    };
    give_to_postgres(directory.path());
    let data = directory.path().join("data");
    let made = as_postgres("initdb")
        .args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "-D"])
        .arg(&data)
        .output()
        .expect("initdb can be run");
    assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
    let mut server = as_postgres("postgres");
    server.arg("-D").arg(&data).arg("-k").arg(directory.path());
    server.arg("-p").arg(port.to_string());
    server.args(["-c", "fsync=off", "-c", "max_connections=200"]);
    prepare(&data).iter().for_each(|setting| {
        server.args(["-c", setting]);
    });
    let socket = directory.path().to_owned();
    Kept::start(directory, &server).wait_until("PostgreSQL", || {
        let mut asked = Command::new(binaries.join("pg_isready"));
        asked.arg("-q").arg("-h").arg(&socket).arg("-p").arg(port.to_string());
        asked.status().is_ok_and(|s| s.success())
    })
}

fn postgres_binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest =
        versions.map(|entry| entry.path().join("bin")).filter(|bin| bin.join("initdb").exists()).max();
    newest.expect("these tests need PostgreSQL's server: apt-get install postgresql-15")
}

fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
}

/// A Redis of the caller's own on a port of 127.0.0.1. It ends with this value.
pub struct Redis {
    _kept: Kept,
    /// Its port.
    pub port: u16,
}

impl Redis {
    /// Starts one on the port, or on a free one. With that certificate and key, both in PEM, it speaks TLS only.
    ///
    /// # Panics
    /// Where Redis is not installed or does not start.
    #[must_use]
    pub fn start(port: Option<u16>, tls: Option<(&str, &str)>) -> Self {
        let directory = TempDir::with_prefix("redis-").expect("a temporary directory");
        let port = port.unwrap_or_else(free_port);
        // One program, which goes by its name: Debian's redis-tools has it so, and starts no server by itself.
        let program = directory.path().join("redis-server");
        symlink("/usr/bin/redis-check-rdb", &program).expect("a directory that can be written");
        let mut server = Command::new(program);
        server.args(["--bind", "127.0.0.1", "--save", "", "--dir"]).arg(directory.path());
        if let Some((certificate, key)) = tls {
            server.args(["--port", "0", "--tls-auth-clients", "no", "--tls-port", &port.to_string()]);
            for (option, content) in [("--tls-cert-file", certificate), ("--tls-key-file", key)] {
                let path = directory.path().join(&option[2..]);
                fs::write(&path, content).expect("a directory that can be written");
                server.arg(option).arg(path);
            }
        } else {
            server.args(["--port", &port.to_string()]);
        }
        let kept = Kept::start(directory, &server).wait_until("Redis (apt-get install redis-tools)", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self { _kept: kept, port }
    }

    /// Ends it, and waits until nothing answers any more.
    pub async fn stop(self) {
        let port = self.port;
        drop(self);
        until("Redis is gone", START_DEADLINE, async || TcpStream::connect(("127.0.0.1", port)).is_err())
            .await;
    }
}

/// A port of 127.0.0.1 that is free now; that nobody else takes it in the meantime is likely, and checked by what is
/// started there.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound listener has an address").port()
}

/// The AWS emulator of this process.
pub struct Cloud {
    /// Configuration of clients.
    pub sdk: SdkConfig,
    /// Its URL.
    pub endpoint: String,
}

/// The AWS emulator.
///
/// # Panics
/// Where `MINISTACK` does not name its executable, or it does not start.
pub async fn cloud() -> Cloud {
    static EMULATOR: OnceLock<(Kept, String)> = OnceLock::new();
    let (_, endpoint) = EMULATOR.get_or_init(start_ministack);
    let sdk = aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "tests"))
        .load()
        .await;
    Cloud { sdk, endpoint: endpoint.clone() }
}

fn start_ministack() -> (Kept, String) {
    let executable = env::var("MINISTACK").expect(
        "these tests need an AWS emulator: python3 -m venv V && V/bin/pip install ministack==1.5.33 cryptography, \
         then set MINISTACK=V/bin/ministack",
    );
    let directory = TempDir::with_prefix("ministack-").expect("a temporary directory");
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut command = Command::new(executable);
    command.envs([
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("BIND_HOST", "127.0.0.1"),
        ("GATEWAY_PORT", &address.port().to_string()),
        ("IOT_MTLS_ENABLED", "0"),
        ("SFTP_ENABLED", "0"),
        ("LOG_LEVEL", "WARNING"),
        ("TMPDIR", &directory.path().display().to_string()),
    ]);
    let kept = Kept::start(directory, &command).wait_until("ministack", || {
        let Ok(mut stream) = TcpStream::connect(address) else { return false };
        let mut answer = String::new();
        stream.write_all(b"GET /_ministack/health HTTP/1.0\r\nhost: localhost\r\n\r\n").is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && answer.contains(" 200 ")
    });
    (kept, format!("http://{address}"))
}

impl Cloud {
    /// A new bucket.
    ///
    /// # Panics
    /// Where the emulator refuses.
    pub async fn bucket(&self, versioned: bool) -> String {
        let s3 = crate::aws::s3_client(&self.sdk);
        let name = format!("test-{}", Uuid::new_v4().simple());
        s3.create_bucket().bucket(&name).send().await.expect("a new bucket");
        if versioned {
            let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
            let set = s3.put_bucket_versioning().bucket(&name).versioning_configuration(enabled);
            set.send().await.expect("a versioned bucket");
        }
        name
    }

    /// The URL of a new queue, whose messages come back after that many seconds.
    ///
    /// # Panics
    /// Where the emulator refuses.
    pub async fn queue(&self, visibility_seconds: u32) -> String {
        use aws_sdk_sqs::types::QueueAttributeName::VisibilityTimeout;
        let sqs = crate::aws::sqs_client(&self.sdk);
        let name = format!("test-{}", Uuid::new_v4().simple());
        let made =
            sqs.create_queue().queue_name(name).attributes(VisibilityTimeout, visibility_seconds.to_string());
        let made = made.send().await.expect("a new queue");
        made.queue_url().expect("a queue has a URL").to_owned()
    }
}

/// Looks again and again until something is so that can't be watched, such as another connection's lock. Panics with
/// `what` after `deadline`.
pub async fn until(what: &str, deadline: Duration, reached: impl AsyncFn() -> bool) {
    let start = Instant::now();
    while !reached().await {
        assert!(start.elapsed() < deadline, "after {deadline:?} still not: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
