"""Model versions that local runs registered, kept between runs below .imgpipe/registry."""
