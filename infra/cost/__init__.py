"""What a deployment costs in a month, beside what else could run the same steps."""
