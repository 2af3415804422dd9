//! A TCP load balancer: round robin, and whoever refuses is skipped.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

type Targets = Arc<Mutex<Vec<SocketAddr>>>;

/// Spreads connections over targets. Ends with its value; connections that it has passed on go on.
#[derive(Debug)]
pub struct Balancer {
    address: SocketAddr,
    targets: Targets,
    accepting: JoinHandle<()>,
}

impl Balancer {
    /// Listens on a free loopback port.
    ///
    /// # Errors
    /// When there is none.
    pub async fn before(targets: Vec<SocketAddr>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let targets: Targets = Arc::new(Mutex::new(targets));
        let accepting = tokio::spawn(accept(listener, targets.clone()));
        Ok(Self { address, targets, accepting })
    }

    /// Where to connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Puts another target in the place of one.
    pub fn replace(&self, at: usize, target: SocketAddr) {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = targets.get_mut(at) {
            *place = target;
        }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, targets: Targets) {
    let mut turn = 0;
    while let Ok((incoming, _)) = listener.accept().await {
        let mut order = targets.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let count = order.len().max(1);
        order.rotate_left(turn % count);
        turn += 1;
        tokio::spawn(pass(incoming, order));
    }
}

async fn pass(mut incoming: TcpStream, order: Vec<SocketAddr>) {
    for target in order {
        if let Ok(mut outgoing) = TcpStream::connect(target).await {
            for stream in [&incoming, &outgoing] {
                drop(stream.set_nodelay(true));
            }
            drop(copy_bidirectional(&mut incoming, &mut outgoing).await);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::wait::within;

    #[tokio::test]
    async fn connections_go_round_and_past_whoever_refuses() {
        let (one, two) = (
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
        );
        let targets = vec![one.local_addr().unwrap(), two.local_addr().unwrap()];
        let balancer = Balancer::before(targets).await.unwrap();
        let _a = TcpStream::connect(balancer.address()).await.unwrap();
        within("the first", one.accept()).await.unwrap().unwrap();
        let _b = TcpStream::connect(balancer.address()).await.unwrap();
        within("the second", two.accept()).await.unwrap().unwrap();
        drop(one);
        let mut c = TcpStream::connect(balancer.address()).await.unwrap();
        let (accepted, _) = within("the second again", two.accept()).await.unwrap().unwrap();
        drop(accepted);
        assert_eq!(within("the end", c.read(&mut [0; 1])).await.unwrap().unwrap_or(0), 0);
    }
}
