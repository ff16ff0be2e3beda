"""Fuzzing of what reads hostile input: the image decoder, the RecordIO and list readers, the packer as a whole."""
