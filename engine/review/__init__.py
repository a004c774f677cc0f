"""Whether a paid order may be sent yet: rules that approve or hold it, and a time to cool off."""
