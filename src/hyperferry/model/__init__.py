"""The words of the product as frozen data: no I/O, no SQL server, no clock. See README.md of this folder."""
