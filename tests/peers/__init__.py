"""What befell others: the 25 cases, and the tests of ours that are marked `@pytest.mark.peer(number=...)`."""
