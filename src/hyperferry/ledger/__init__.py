"""The schema `hyperferry`: rollouts, batches, logs, events, controls; and the words in which the rooms speak of them."""
