"""What people read on paper or screen: takes core values, changes nothing."""
