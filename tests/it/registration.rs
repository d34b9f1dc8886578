//! What a broker leaves in ZooKeeper.
