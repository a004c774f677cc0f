"""What happens once goods have left: channels told, parcels followed, clocks, scores, codes."""
