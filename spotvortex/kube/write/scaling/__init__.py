"""Groups that the controller itself grows: the journal of their growth, and the driver."""
