"""What tap and target share of Singer: messages in, messages out, and archives of them."""
