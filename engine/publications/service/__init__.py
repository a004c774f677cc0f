"""What is done about publications: numbers made, words of shops kept, drains carried out."""
