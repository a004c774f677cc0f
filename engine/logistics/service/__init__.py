"""What is done about parcels: followed, told to channels, timed, handed out."""
