"""DLKD in other libraries."""
