"""What `hyperferry advise` says: pure rules on made distributions, and real servers with tables of ten shapes."""
