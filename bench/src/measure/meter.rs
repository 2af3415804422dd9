//! Brackets a measured phase: server CPU, generator CPU, noise.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::machine::MachineClock;
use super::process::{CpuClock, resident_bytes};

/// Cores used by neither server nor generator above which a run counts as noisy.
const OTHER_CORES_LIMIT: f64 = 0.2;
/// Cores stolen by the hypervisor above which a run counts as noisy.
const STOLEN_CORES_LIMIT: f64 = 0.15;

/// A measurement that has begun.
pub(crate) struct Meter {
    pids: Vec<u32>,
    servers: Vec<CpuClock>,
    generator: CpuClock,
    machine: MachineClock,
    begun: Instant,
}

/// What a measured phase cost.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// Length of the phase, seconds of wall clock.
    pub(crate) seconds: f64,
    /// CPU seconds of all server processes, user and system.
    pub(crate) server_cpu_seconds: f64,
    /// Average number of cores this generator used.
    pub(crate) generator_cores: f64,
    /// Average number of cores used by neither servers nor generator.
    pub(crate) other_cores: f64,
    /// Average number of cores the hypervisor took away.
    pub(crate) stolen_cores: f64,
    /// Resident memory of all server processes at the end, bytes.
    pub(crate) resident_bytes: u64,
}

impl Meter {
    /// Starts measuring the server processes `pids`.
    ///
    /// # Errors
    /// When one of them is gone.
    pub(crate) fn start(pids: &[u32]) -> Result<Self> {
        Ok(Self {
            pids: pids.to_vec(),
            servers: pids.iter().map(|pid| CpuClock::read(*pid)).collect::<Result<_>>()?,
            generator: CpuClock::read_own()?,
            machine: MachineClock::read()?,
            begun: Instant::now(),
        })
    }

    /// Ends the measurement.
    ///
    /// # Errors
    /// When a server process died meanwhile.
    pub(crate) fn stop(self) -> Result<Usage> {
        let seconds = self.begun.elapsed().as_secs_f64();
        let mut server = Duration::ZERO;
        let mut resident = 0;
        for (pid, before) in self.pids.iter().zip(&self.servers) {
            server += CpuClock::read(*pid)?.since(*before);
            resident += resident_bytes(*pid)?;
        }
        let generator = CpuClock::read_own()?.since(self.generator);
        let machine = MachineClock::read()?;
        let busy = machine.busy.saturating_sub(self.machine.busy);
        let stolen = machine.stolen.saturating_sub(self.machine.stolen);
        Ok(Usage {
            seconds,
            server_cpu_seconds: server.as_secs_f64(),
            generator_cores: generator.as_secs_f64() / seconds,
            other_cores: busy.saturating_sub(server + generator).as_secs_f64() / seconds,
            stolen_cores: stolen.as_secs_f64() / seconds,
            resident_bytes: resident,
        })
    }
}

impl Usage {
    /// Whether others used so much of the machine that the figures should be doubted.
    pub(crate) fn noisy(&self) -> bool {
        self.other_cores > OTHER_CORES_LIMIT || self.stolen_cores > STOLEN_CORES_LIMIT
    }

    /// Makes this phase as noisy as `other`, where that one was noisier.
    pub(crate) fn add_noise_of(&mut self, other: &Self) {
        self.other_cores = self.other_cores.max(other.other_cores);
        self.stolen_cores = self.stolen_cores.max(other.stolen_cores);
    }

    /// `count` per second of wall clock.
    pub(crate) fn rate(&self, count: u64) -> f64 {
        count as f64 / self.seconds
    }

    /// `count` per second of server CPU; none where the servers used too little to tell.
    pub(crate) fn rate_per_cpu(&self, count: u64) -> Option<f64> {
        (self.server_cpu_seconds > 0.0).then(|| count as f64 / self.server_cpu_seconds)
    }
}
