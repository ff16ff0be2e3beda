"""What every container shares: the directory contract, whole files, RecordIO, archives."""
