//! Programs as child processes: with standard input, captured output and a deadline; killed when dropped.

use std::fs::File;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Pid;
use rustix::process::Signal;

use super::eventually::within;
use super::scratch;

/// What a program that has ended left behind.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    command: String,
}

impl Finished {
    /// Panics with everything the program said unless it ended with 0.
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert!(self.status.success(), "{}", self.account());
        self
    }

    /// Standard output as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Command, exit and both outputs: what a failed assertion prints.
    pub(crate) fn account(&self) -> String {
        format!(
            "{}\n{}\nstdout: {}\nstderr: {}",
            self.command,
            self.status,
            self.text(),
            self.stderr
        )
    }
}

/// Runs a program to its end; panics with its output when it is not done at the deadline.
#[track_caller]
pub(crate) fn run(command: Command, stdin: &[u8], deadline: Duration) -> Finished {
    Running::start(command, Some(stdin)).wait(deadline)
}

/// As [`run`], for what may fail or hang: its output, or everything it said unless it ended with 0 before the deadline.
pub(crate) fn try_run(command: Command, stdin: &[u8], deadline: Duration) -> Result<String, String> {
    let mut running = Running::start(command, Some(stdin));
    let status = within(deadline, || running.exited());
    let finished = running.finished(status);
    match status {
        Some(status) if status.success() => Ok(finished.text()),
        Some(_) => Err(finished.account()),
        None => Err(format!("not done after {deadline:?}: {}", finished.account())),
    }
}

/// A program that runs, its output going to files.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    directory: tempfile::TempDir,
    command: String,
}

impl Running {
    /// Starts a program; without `stdin` it reads an empty file.
    #[track_caller]
    pub(crate) fn start(command: Command, stdin: Option<&[u8]>) -> Self {
        match stdin {
            Some(bytes) => Self::start_fed(command, std::iter::once(bytes.to_vec())),
            None => Self::launch(command, Stdio::null()),
        }
    }

    /// Starts a program that is given these pieces, each when it has room for it, and then the end.
    #[track_caller]
    pub(crate) fn start_fed(
        command: Command,
        pieces: impl Iterator<Item = Vec<u8>> + Send + 'static,
    ) -> Self {
        let mut running = Self::launch(command, Stdio::piped());
        let mut pipe = running.child.stdin.take().expect("was asked for");
        // A program that ends before it has read everything is judged by its exit, not by this pipe.
        std::thread::spawn(move || {
            let mut pieces = pieces;
            pieces.all(|piece| pipe.write_all(&piece).is_ok())
        });
        running
    }

    fn launch(mut command: Command, stdin: Stdio) -> Self {
        let directory = scratch("run");
        let file = |name: &str| File::create(directory.path().join(name)).unwrap();
        command.stdout(file("stdout")).stderr(file("stderr"));
        command.stdin(stdin);
        let name = format!("{command:?}");
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("start {name}: {error}"));
        Self {
            child,
            directory,
            command: name,
        }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).expect("signal a child that was not waited for");
    }

    /// Its exit status, once it has ended.
    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("wait for a child")
    }

    /// What it has written to standard output so far.
    pub(crate) fn stdout(&self) -> Vec<u8> {
        std::fs::read(self.path("stdout")).unwrap()
    }

    /// The same from this byte on.
    pub(crate) fn stdout_from(&self, offset: usize) -> Vec<u8> {
        let mut file = File::open(self.path("stdout")).unwrap();
        file.seek(SeekFrom::Start(offset.try_into().unwrap())).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// What it has written to standard error so far.
    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path("stderr")).unwrap()).into_owned()
    }

    /// Waits for its end; panics with its output at the deadline.
    #[track_caller]
    pub(crate) fn wait(mut self, deadline: Duration) -> Finished {
        let status = within(deadline, || self.exited());
        let finished = self.finished(status);
        assert!(
            status.is_some(),
            "not done after {deadline:?}: {}",
            finished.account()
        );
        finished
    }

    fn finished(&mut self, status: Option<ExitStatus>) -> Finished {
        let status = status.unwrap_or_else(|| {
            let _ = self.child.kill();
            self.child.wait().expect("wait for a child")
        });
        Finished {
            status,
            stdout: self.stdout(),
            stderr: self.stderr(),
            command: self.command.clone(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
