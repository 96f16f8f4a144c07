"""What many rooms use and none owns."""
