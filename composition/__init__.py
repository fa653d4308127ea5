"""The platform put together: components of one environment, built in the order of what they need."""
