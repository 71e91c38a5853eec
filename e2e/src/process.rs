//! Child processes that never outlive the tests.

use anyhow::{Context, Result, anyhow};
use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Runs a program until standard input ends, which it does when this process is gone, even by SIGKILL; or until a
/// signal to all of this process group, such as Ctrl-C, which ends `cat`. Then what the program started itself and left
/// goes, too: it has a process group of its own. SIGKILL to all of this group leaves the kernel to end the program.
const UNTIL_PARENT_ENDS: &str = r#"
signal=$1 remove=$2; shift 2
trap : HUP INT TERM
setsid setpriv --pdeathsig KILL "$@" </dev/null & pid=$!
cat >/dev/null
kill -s $signal $pid 2>/dev/null
wait $pid 2>/dev/null
kill -s KILL -- -$pid 2>/dev/null
[ -z "$remove" ] || rm -rf "$remove"
"#;
/// How much of a log is shown.
const TAIL: usize = 20;

/// A program to be started.
pub struct Program {
    path: OsString,
    args: Vec<String>,
    environment: Vec<(String, String)>,
    signal: &'static str,
    remove: Option<PathBuf>,
}

impl Program {
    /// The program that the variable names, or the one of that name on the path.
    ///
    /// # Errors
    /// When there is neither.
    pub fn new(variable: &str, name: &str) -> Result<Self> {
        let on_path = || {
            let directories = env::split_paths(&env::var_os("PATH")?).collect::<Vec<_>>();
            directories.into_iter().map(|directory| directory.join(name)).find(|path| path.is_file())
        };
        let path = env::var_os(variable).or_else(|| on_path().map(Into::into)).ok_or_else(|| {
            anyhow!(
                "no {name}: set {variable} to its path, or let `make unit` build it and run these tests; \
                 `. e2e/lib/load.sh && use_tools` sets the variables in a shell"
            )
        })?;
        Ok(Self { path, args: Vec::new(), environment: Vec::new(), signal: "KILL", remove: None })
    }

    /// Gives it arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = String>) -> Self {
        self.args.extend(args);
        self
    }

    /// Gives it a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Lets it end by itself, which may take it a moment.
    #[must_use]
    pub fn ending_by_itself(mut self) -> Self {
        self.signal = "TERM";
        self
    }

    /// Removes that directory after the end.
    #[must_use]
    pub fn removing(mut self, directory: &Path) -> Self {
        self.remove = Some(directory.to_owned());
        self
    }

    /// Starts it; its output goes to `<directory>/<name>.log`.
    ///
    /// # Errors
    /// When the log can't be written, or no process started.
    pub fn start(self, directory: &Path, name: &str) -> Result<Guard> {
        let log = directory.join(format!("{name}.log"));
        let output = File::create(&log)?;
        let mut command = self.command();
        command.stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("can't start {name}"))?;
        Ok(Guard { child, log })
    }

    fn command(self) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", UNTIL_PARENT_ENDS, "sh", self.signal])
            .arg(self.remove.unwrap_or_default())
            .arg(self.path)
            .args(self.args)
            .envs(self.environment)
            .stdin(Stdio::piped());
        command
    }
}

/// A running program; it ends when this is dropped.
pub struct Guard {
    child: Child,
    log: PathBuf,
}

impl Guard {
    /// The program's process; not the shell's that guards it.
    ///
    /// # Errors
    /// When it ended.
    pub fn pid(&self) -> io::Result<u32> {
        let shell = self.child.id();
        let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children"))?;
        let first = children.split_whitespace().next().and_then(|pid| pid.parse().ok());
        first.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the program ended"))
    }

    /// What it printed so far.
    ///
    /// # Errors
    /// When the log can't be read.
    pub fn log(&self) -> io::Result<String> {
        fs::read_to_string(&self.log)
    }

    /// The end of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let text = self.log().unwrap_or_else(|error| error.to_string());
        let lines: Vec<_> = text.lines().collect();
        format!("{}:\n{}", self.log.display(), lines[lines.len().saturating_sub(TAIL)..].join("\n"))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It can only have ended already.
        drop(self.child.wait());
    }
}

/// A port of loopback that nobody listens on now.
///
/// # Errors
/// When there is none.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{BufRead, BufReader},
        os::unix::process::CommandExt,
    };

    /// Sends the signal to the whole process group of a program's shell. Whether the program lives on, and whether its
    /// directory is still there.
    fn after(signal: &str) -> (bool, bool) {
        let directory = tempfile::tempdir().unwrap();
        let program = Program::new("NO_SUCH_VARIABLE", "sh").unwrap().removing(directory.path());
        let program = program.args(["-c".into(), "echo started; sleep 5; echo left".into()]);
        let mut group = program.command().process_group(0).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(group.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "started");
        let kill = Command::new("kill").args(["-s", signal, "--", &format!("-{}", group.id())]).status();
        assert!(kill.unwrap().success());
        group.wait().unwrap();
        // Its output ends when all are gone who could write.
        (lines.next().is_some(), directory.path().exists())
    }

    #[test]
    fn a_program_ends_with_the_process_group_that_started_it() {
        for signal in ["HUP", "INT", "TERM"] {
            assert_eq!(after(signal), (false, false), "after SIG{signal}");
        }
        assert_eq!(
            after("KILL"),
            (false, true),
            "after SIGKILL, which leaves nobody to remove the directory"
        );
    }
}
