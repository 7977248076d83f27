-- The schema registry's own database.
CREATE DATABASE registry;
