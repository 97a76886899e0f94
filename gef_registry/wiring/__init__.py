"""The one room that knows the concretes: which source a name means, which store is behind a port."""
