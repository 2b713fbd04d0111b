"""What a release consists of beside the image: made from the sources by `make dist`."""
